#include "controller/feed_health.h"

#include <nlohmann/json.hpp>

namespace feedvault::controller {

std::string_view feed_phase_name(FeedPhase phase) {
  switch (phase) {
    case FeedPhase::kStarting:
      return "starting";
    case FeedPhase::kWaiting:
      return "waiting";
    case FeedPhase::kStandby:
      return "standby";
    case FeedPhase::kActive:
      return "active";
    case FeedPhase::kStopped:
      return "stopped";
  }
  return "unknown";
}

void FeedHealth::set_phase(FeedPhase phase, std::string reason) {
  MutexLock lock(mutex_);
  view_.phase = phase;
  view_.reason = std::move(reason);
  if (phase != FeedPhase::kActive) {
    view_.stuck = false;
    view_.lag_seconds = 0;
    view_.silent_seconds = 0;
  }
}

std::string readyz_json(const std::vector<FeedView>& feeds, const std::string& starting_reason) {
  nlohmann::ordered_json body;
  bool ready = starting_reason.empty() && !feeds.empty();
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const FeedView& feed : feeds) {
    ready = ready && feed.ready();
    list.push_back({{"name", feed.name},
                    {"ready", feed.ready()},
                    {"state", feed.stuck ? "stuck" : feed_phase_name(feed.phase)},
                    {"reason", feed.reason},
                    {"captured_seq", feed.captured_seq},
                    {"ingest_seq", feed.ingest_seq},
                    {"last_seq", feed.last_seq},
                    {"published_seq", feed.published_seq},
                    {"lag_seconds", feed.lag_seconds},
                    {"silent_seconds", feed.silent_seconds}});
  }
  body["ready"] = ready;
  if (!starting_reason.empty()) {
    body["reason"] = starting_reason;
  }
  body["feeds"] = std::move(list);
  // Reasons may quote what a server said, in any encoding.
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace feedvault::controller
