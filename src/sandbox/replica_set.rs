//! A MongoDB replica set of one or three members on loopback.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use mongodb::bson::{Bson, Document, doc};

use super::SandboxError;
use super::mongod::{Mongod, MongodOptions};

const NAME: &str = "rs0";
const ELECTION_LIMIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Its members; dropping it ends them and removes their folders.
#[derive(Debug)]
pub struct ReplicaSet {
    members: Vec<Mongod>,
}

impl ReplicaSet {
    /// Starts one or three members and waits until one is primary and the others follow it.
    pub async fn start(members: usize, options: MongodOptions) -> Result<Self, SandboxError> {
        if members != 1 && members != 3 {
            return Err(SandboxError::new(format!("a replica set of {members} members"), "ask for 1 or 3"));
        }
        let starts = (0..members).map(|_| Mongod::start(options.clone(), Some(NAME)));
        let set = Self { members: try_join_all(starts).await? };
        set.initiate().await?;
        set.wait_until_complete().await?;
        Ok(set)
    }

    /// The connection string for one database, naming all members.
    pub fn uri(&self, database: &str) -> String {
        let hosts: Vec<String> = self.members.iter().map(Mongod::address).collect();
        format!("mongodb://{}/{database}?replicaSet={NAME}", hosts.join(","))
    }

    /// The members, running or killed.
    pub fn members(&self) -> &[Mongod] {
        &self.members
    }

    /// The index of the primary, waiting for an election if there is none now.
    pub async fn primary(&self) -> Result<usize, SandboxError> {
        let started = Instant::now();
        while started.elapsed() < ELECTION_LIMIT {
            for (index, member) in self.members.iter().enumerate() {
                if member.is_primary().await {
                    return Ok(index);
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(self.not_in_time("no member became primary"))
    }

    /// Makes the primary give up and waits for the next one (with one member: itself again); its index.
    pub async fn step_down(&self) -> Result<usize, SandboxError> {
        let primary = &self.members[self.primary().await?];
        let command = if self.members.len() == 1 {
            doc! { "replSetStepDown": 1, "force": true }
        } else {
            doc! { "replSetStepDown": 30, "secondaryCatchUpPeriodSecs": 10 }
        };
        primary.command(command).await?;
        self.primary().await
    }

    /// `kill -9` of one member; the caller decides whether to wait for an election.
    pub async fn kill_member(&mut self, index: usize) -> Result<(), SandboxError> {
        self.member(index)?.kill().await
    }

    /// Starts a killed member again and waits until all running members have their place.
    pub async fn restart_member(&mut self, index: usize) -> Result<(), SandboxError> {
        self.member(index)?.start_again().await?;
        self.wait_until_complete().await
    }

    /// Ends all members and removes their folders without blocking the runtime; dropping does the same, blocking.
    pub async fn stop(self) -> Result<(), SandboxError> {
        tokio::task::spawn_blocking(move || drop(self)).await.map_err(|error| SandboxError::new(error.to_string(), ""))
    }

    fn member(&mut self, index: usize) -> Result<&mut Mongod, SandboxError> {
        let count = self.members.len();
        self.members
            .get_mut(index)
            .ok_or_else(|| SandboxError::new(format!("no member {index}"), format!("there are {count}")))
    }

    async fn initiate(&self) -> Result<(), SandboxError> {
        let members: Vec<Bson> = (0i32..)
            .zip(&self.members)
            .map(|(id, member)| Bson::Document(doc! { "_id": id, "host": member.address() }))
            .collect();
        // a step-down or a crash costs a test two seconds, not ten
        let settings = doc! { "electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500 };
        let config = doc! { "_id": NAME, "members": members, "settings": settings };
        self.members[0].command(doc! { "replSetInitiate": config }).await.map(|_| ())
    }

    /// One primary, and every other running member a secondary, as the primary sees it.
    async fn wait_until_complete(&self) -> Result<(), SandboxError> {
        let running = self.members.iter().filter(|member| member.pid().is_some()).count();
        let started = Instant::now();
        while started.elapsed() < ELECTION_LIMIT {
            let primary = &self.members[self.primary().await?];
            let status = primary.command(doc! { "replSetGetStatus": 1 }).await;
            if status.is_ok_and(|status| in_place(&status) == running) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(self.not_in_time("not every member found its place"))
    }

    fn not_in_time(&self, what: &str) -> SandboxError {
        let seconds = ELECTION_LIMIT.as_secs();
        SandboxError::new(format!("{what} in {seconds} s"), "the members' logs say more; is the machine overloaded?")
    }
}

/// How many members are primary (1) or secondary (2).
fn in_place(status: &Document) -> usize {
    let Ok(members) = status.get_array("members") else { return 0 };
    let states = members.iter().filter_map(Bson::as_document).filter_map(|member| member.get_i32("state").ok());
    states.filter(|state| matches!(state, 1 | 2)).count()
}
