"""The sandbox of IFS field service: one database, served in two dialects, FSM 6.x and IFS Cloud."""
