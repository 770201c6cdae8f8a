#pragma once

#include <string>

#include "base/result.h"
#include "broker/store/file_system.h"

namespace feedvault::broker::jetstream {

/// What `feedvault-broker --check DIR` found.
struct StreamsCheck {
  bool damaged = false;  // something that was stored cannot be read
  std::string text;      // for people: lines for each stream, and a last one for all
};

/// Verifies every record of the streams in `dir`, and their consumers: a store_dir as it is
/// configured, the folder jetstream/ in it, or the folder of one stream. Changes nothing. While it
/// looks no broker can start there. kUnavailable: one is running; kNotFound: there are no streams.
Result<StreamsCheck> check_streams(const std::string& dir, store::FileSystem& fs);

}  // namespace feedvault::broker::jetstream
