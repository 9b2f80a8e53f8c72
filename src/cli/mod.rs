//! The command line: one file per subcommand; this is the composition root.
