// Loaded before Azurite: ends the process when the test run that holds the other end of stdin is gone, however it ended.
process.stdin.on("end", () => process.exit(0)).on("error", () => process.exit(0)).resume();
