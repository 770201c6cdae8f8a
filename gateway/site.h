#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/metrics.h"
#include "gateway/feed.h"
#include "gateway/http/access.h"
#include "gateway/http/message.h"
#include "gateway/http/router.h"
#include "gateway/live_feed.h"
#include "gateway/watch.h"
#include "gateway/worker_pool.h"

namespace feedvault::gateway {

/// What is served: every path, who may ask for it, and what answers. Knows no sockets. handle() is
/// called on one thread and does not block; everything borrowed must outlive the pool and the
/// server.
class Site {
 public:
  struct Parts {
    const FeedList& feeds;
    const std::map<std::string, std::unique_ptr<LiveFeed>>& live;  // every feed's
    const Access& access;
    WorkerPool& pool;
    const Watch& watch;
    Metrics& metrics;
  };
  explicit Site(const Parts& parts);

  void handle(const Request& request, Respond respond) const;

 private:
  void add_service_routes();
  void add_page_routes();
  void add_feed_routes();
  void add_quarantine_routes();

  /// The feed of that name if the request may read it; otherwise the answer is given.
  const Feed* readable_feed(const Request& request,
                            const std::string& name,
                            const Respond& respond) const;
  void list_feeds(const Request& request, const Respond& respond) const;
  void list_activity(const Request& request, const Respond& respond) const;
  void read_messages(const Request& request, const Feed& feed, Respond respond) const;
  void read_message(const Request& request,
                    const Feed& feed,
                    const std::string& seq,
                    const Respond& respond) const;
  void list_quarantine(const Request& request, const Respond& respond) const;
  void read_quarantined(const Request& request,
                        const std::string& id,
                        const Respond& respond) const;
  void requeue(const Request& request, const std::string& id, const Respond& respond) const;

  const Parts parts_;
  Counter rows_total_;
  Router router_;
};

}  // namespace feedvault::gateway
