#include "broker/streams/pull_requests.h"

#include <algorithm>

namespace feedvault::broker::streams {

WaitingRequest& PullRequests::add(std::string_view reply) {
  if (free_.empty()) {
    waiting_.emplace_back();
  } else {
    waiting_.splice(waiting_.end(), free_, free_.begin());
  }
  WaitingRequest& request = waiting_.back();
  std::string text = std::move(request.reply);  // keeps its memory
  request = WaitingRequest();
  request.reply = std::move(text);
  request.reply.assign(reply);
  return request;
}

void PullRequests::watch(const WaitingRequest& request) {
  next_deadline_ = std::min({next_deadline_, request.expires_ns, request.next_heartbeat_ns});
}

void PullRequests::turn() {
  WaitingRequest& request = head();
  --request.left;
  ++request.delivered;
  if (request.left <= 0) {
    remove_head();
  } else if (waiting_.size() > 1) {
    waiting_.splice(waiting_.end(), waiting_, waiting_.begin());
  }
}

std::int64_t PullRequests::wanted() const {
  std::int64_t sum = 0;
  for (const WaitingRequest& request : waiting_) {
    sum += request.left;
  }
  return sum;
}

}  // namespace feedvault::broker::streams
