#pragma once

#include <string>
#include <vector>

#include "gateway/feed.h"
#include "gateway/watch.h"

namespace feedvault::gateway {

/// One entry of GET /feeds, appended.
void append_feed_json(const Feed& feed, const FeedStatus& status, std::string& json);

/// One entry of GET /activity, appended.
void append_activity_json(const Feed& feed,
                          const std::vector<ActivitySample>& samples,
                          std::string& json);

}  // namespace feedvault::gateway
