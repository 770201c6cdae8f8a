#pragma once

namespace feedvault::internal {

/// Prints place and condition to stderr and aborts. Never returns.
[[noreturn]] void check_failed(const char* file, int line, const char* condition);

}  // namespace feedvault::internal

/// A broken invariant of our own code: on in every build, aborts. Outside bytes (socket, disk,
/// database, configuration) never reach a CHECK; they yield a Status.
#define CHECK(condition)                             \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::feedvault::internal::check_failed(__FILE__, __LINE__, #condition))
