#pragma once

#include <string_view>

#include "base/result.h"
#include "client/stream_service.h"
#include "gateway/feed.h"
#include "gateway/http/message.h"
#include "gateway/live_feed.h"
#include "gateway/worker_pool.h"

namespace feedvault::gateway {

/// Where GET /feeds/{feed}/live starts: behind its Last-Event-ID, else at ?from=, else at what
/// comes from now on. kInvalidArgument with what would be right.
Result<Start> parse_live_start(const Feed& feed, const Request& request);

/// "events:12" as a seq. kInvalidArgument for another feed's position, and for what is none.
Result<std::uint64_t> parse_position(const Feed& feed, std::string_view text);

/// Answers with a live stream; its header Feedvault-Start names the first position to be sent.
void answer_live(LiveFeed& feed, WorkerPool& pool, const Request& request, const Respond& respond);

}  // namespace feedvault::gateway
