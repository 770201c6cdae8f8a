#pragma once

#include <cstddef>
#include <cstdint>

namespace feedvault::broker {

/// The two worlds of subjects: the users', and that of the system's users. What is published in one
/// is matched only against subscriptions in it, as if each were a server of its own, so that no
/// user sees or feigns what is on $SYS, and no system user the users' messages. Each has a subject
/// index; locks, loops and connections are common. A connection is in the users' world until its
/// CONNECT names a system user, and what it had subscribed to until then ends there.
///
/// One thing is in both: requests to $SYS.REQ.>, see system_service.h, which answers each in the
/// world that it came from, and by who asks.
enum class Account : std::uint8_t { kUsers, kSystem };

inline constexpr std::size_t kAccounts = 2;

constexpr std::size_t index_of(Account account) {
  return static_cast<std::size_t>(account);
}

}  // namespace feedvault::broker
