#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/metrics.h"
#include "base/result.h"

namespace feedvault::gateway {

/// Serves the feeds' past to NATS clients: requests to feed.history.<feed> are answered with a page
/// of messages out of the table (docs/history.md). It is a service in the sense of NATS' ADR-32, so
/// `nats service list` finds it; all instances share the requests as one queue group.
///
/// It holds `workers` pages of kHistoryBytesMax and `queue_max` small requests at most, whatever is
/// asked; requests beyond that are refused with code 429. Broker and database may come and go.
class HistoryService {
 public:
  struct Options {
    NatsConfig nats;
    MysqlConfig mysql;
    std::vector<FeedConfig> feeds;
    /// Threads, each with a database connection. Two: one reads while the other sends.
    std::size_t workers = 2;
    std::size_t queue_max = 256;
  };

  /// The service's name in ADR-32's discovery.
  static constexpr const char* kName = "feedvault-history";

  /// On return it can be asked; it succeeds also while the broker is away. kInvalidArgument for
  /// refused credentials. `metrics` must outlive it.
  static Result<std::unique_ptr<HistoryService>> start(const Options& options, Metrics& metrics);
  /// Takes no further requests and answers those it has begun with.
  virtual ~HistoryService() = default;

  /// This instance's id in the discovery.
  virtual const std::string& id() const = 0;
  /// Why it cannot answer just now; ok when it can, as far as known.
  virtual Status ready() const = 0;
};

}  // namespace feedvault::gateway
