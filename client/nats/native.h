#pragma once

#include <memory>
#include <string>

#include <nats/nats.h>

#include "base/result.h"
#include "client/nats/connection.h"

namespace feedvault::nats {

// Private to this folder: what several of its .cc files need of cnats.

/// The Status for a cnats code, with the library's last error text of this thread where it has one.
Status to_status(natsStatus code, const char* what);

struct OptionsDeleter {
  void operator()(natsOptions* options) const { natsOptions_Destroy(options); }
};
using OptionsPtr = std::unique_ptr<natsOptions, OptionsDeleter>;

/// Servers, credentials, TLS and timeouts, for one attempt to connect: cnats' own reconnecting is
/// off. kInvalidArgument for files that cannot be read.
Result<OptionsPtr> make_options(const NatsConfig& config, const ConnectionOptions& options);

/// Connects to "nats://host:port", reads the INFO line that every server greets with, and returns
/// its "version"; empty when that fails within the timeout.
std::string read_server_version(const std::string& url, std::chrono::milliseconds timeout);

/// Gives a message back, now or with later ones of this thread, at its end at the latest: cnats
/// wakes a thread of its own for each message that is destroyed, unless that is still busy with the
/// one before, which on a quiet feed costs more than the message. At most kHeldMessages wait in a
/// thread, with kHeldBytes of payload at most. nullptr is fine.
void dispose(natsMsg* message);
inline constexpr std::size_t kHeldMessages = 64;
inline constexpr std::size_t kHeldBytes = 64U << 10U;

/// Tries, once a process, how the library lays messages out; see message.cc. One round trip.
void learn_message_layout(natsConnection* connection);

}  // namespace feedvault::nats
