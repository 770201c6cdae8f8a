#pragma once

// Named crash points, for the tests that kill a process at the worst moment. Compiled in only where
// FEEDVAULT_FAILPOINTS is on; elsewhere FAILPOINT is nothing at all.
//
//   FEEDVAULT_FAILPOINT="commit.sent=kill"       SIGKILL at the first pass
//   FEEDVAULT_FAILPOINT="commit.sent=kill@7"     at the seventh
//   FEEDVAULT_FAILPOINT="commit.sent=stop@7"     SIGSTOP instead; the test sends SIGCONT
//
// Several are separated by commas. An unknown action ends the process with a message: a test that
// misspells its crash point must not pass.

namespace feedvault {

#ifdef FEEDVAULT_FAILPOINTS
void reach_failpoint(const char* name);
#define FAILPOINT(name) ::feedvault::reach_failpoint(name)
#else
#define FAILPOINT(name) static_cast<void>(0)
#endif

}  // namespace feedvault
