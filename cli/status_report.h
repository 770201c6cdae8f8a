#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/config.h"
#include "storage/catalogue_reader.h"

namespace feedvault::cli {

// Private to `feedvault status`: what it knows, and where from.

/// What is known of a feed; unknown where nobody answered.
struct FeedStatus {
  const FeedConfig* feed = nullptr;
  std::optional<std::uint64_t> captured;
  std::optional<std::uint64_t> catalogued;
  std::optional<std::uint64_t> published;
  std::optional<std::uint64_t> quarantined;
  std::optional<std::uint64_t> duplicates;
  std::optional<std::uint64_t> lag_messages;
  std::optional<double> lag_seconds;
  std::optional<double> rate;
  std::string state = "unknown";  // of the controller
  std::string reason;
};

struct StatusReport {
  std::vector<FeedStatus> feeds;
  std::vector<std::string> problems;
  bool ready = false;
};

/// Takes reports, one after the other; each knows the rate since the one before. `config` must
/// outlive it. One thread.
class StatusReader {
 public:
  explicit StatusReader(const Config& config);

  /// What the first report's rate is measured from.
  void begin();
  /// Asks database, broker and controller; what nobody answers is unknown, and a problem says so.
  StatusReport take();

 private:
  using Summaries = std::map<std::uint8_t, storage::FeedSummary>;
  struct Look {
    Summaries feeds;
    SteadyTime at;
  };
  Result<Look> look();
  void show_catalogue(const Look& now, StatusReport& report) const;

  const Config& config_;
  const std::unique_ptr<storage::CatalogueReader> reader_;
  std::optional<Look> before_;
};

}  // namespace feedvault::cli
