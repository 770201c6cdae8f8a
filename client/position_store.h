#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"

namespace feedvault {

/// Where a subscriber's positions live: per feed, the seq of the last message that was dealt with.
/// A store of your own that saves the position in the same transaction as the effect makes the
/// whole path exactly once. Calls for one feed come from one thread at a time, for several feeds
/// from several.
class PositionStore {
 public:
  virtual ~PositionStore() = default;
  /// nullopt: this subscriber has never saved one.
  virtual Result<std::optional<std::uint64_t>> load(const std::string& feed) = 0;
  /// On success the position must survive a crash of the process.
  virtual Status save(const std::string& feed, std::uint64_t seq) = 0;
};

/// One small file a feed in `folder`, replaced atomically and synced: `<folder>/<feed>.position`.
/// Made when missing. A damaged file is an error that names it, not a fresh start.
Result<std::unique_ptr<PositionStore>> open_file_position_store(const std::string& folder);

}  // namespace feedvault
