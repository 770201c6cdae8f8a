#pragma once

#include <string>

#include "gateway/feed.h"
#include "gateway/watch.h"

namespace feedvault::gateway {

/// One entry of GET /feeds, appended.
void append_feed_json(const Feed& feed, const FeedStatus& status, std::string& json);

}  // namespace feedvault::gateway
