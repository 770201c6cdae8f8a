#include "broker/streams/flow_control.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace feedvault::broker::streams {

void FlowControl::reset() {
  *this = FlowControl();
}

bool FlowControl::sent(std::uint64_t bytes) {
  out_ += bytes;
  if (reply_.empty()) {
    return out_ > window_ / 2;
  }
  if (out_ - covered_ >= window_) {
    // A large message behind the request: its answer covers that as well, or the window would stay
    // full with nobody left to ask.
    covered_ += bytes;
  }
  return false;
}

void FlowControl::asked(std::string reply) {
  reply_ = std::move(reply);
  covered_ = out_;
}

bool FlowControl::answered(std::string_view reply) {
  if (reply_.empty() || reply != reply_) {
    return false;
  }
  window_ = std::min(window_ * 2, kWindowMax);
  out_ -= std::min(out_, covered_);
  covered_ = 0;
  reply_.clear();
  return true;
}

RateLimit::RateLimit(std::uint64_t bits_a_second, std::uint64_t burst_bytes)
    : bytes_a_ns_(static_cast<double>(bits_a_second) / 8e9),
      burst_(static_cast<double>(burst_bytes)),
      tokens_(burst_) {}

std::int64_t RateLimit::take(std::uint64_t bytes, std::int64_t now_ns) {
  if (bytes_a_ns_ == 0) {
    return now_ns;
  }
  if (filled_ns_ != 0 && now_ns > filled_ns_) {
    tokens_ = std::min(burst_, tokens_ + static_cast<double>(now_ns - filled_ns_) * bytes_a_ns_);
  }
  filled_ns_ = now_ns;
  // More than the burst never fits; it goes out of a full bucket and leaves a debt.
  const double needed = std::min(static_cast<double>(bytes), burst_);
  if (tokens_ < needed) {
    return now_ns + static_cast<std::int64_t>(std::ceil((needed - tokens_) / bytes_a_ns_));
  }
  tokens_ -= static_cast<double>(bytes);
  return now_ns;
}

}  // namespace feedvault::broker::streams
