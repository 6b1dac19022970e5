"""Where snapshots of sessions are kept, so that a session outlives its server: a folder, Redis, Valkey or S3."""
