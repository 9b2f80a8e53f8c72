//! What `deploy/` ships agrees with the program: metrics, commands, settings. Needs no server.

#[cfg(test)]
mod alerts;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod files;
#[cfg(test)]
mod links;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod queries;
#[cfg(test)]
mod settings;
