// What the bridge may do in BioGraph's database: read and write it, and see how far the oplog reaches back. In mongosh, as an
// administrator: mongosh "mongodb://…/admin" rights.js; it asks for the password.
db.getSiblingDB("admin").createUser({
  user: "bridge",
  pwd: passwordPrompt(),
  roles: [
    { role: "readWrite", db: "BioGraphDemo" },
    { role: "clusterMonitor", db: "admin" },
  ],
});
