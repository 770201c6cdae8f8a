// What only push consumers have: interest, heartbeats, flow control.

#include <string>

#include "broker/streams/consumer.h"
#include "broker/streams/status_message.h"
#include "broker/streams/stream.h"

namespace feedvault::broker::streams {
namespace {

// The loop tells of subscriptions; this is for what it cannot see.
constexpr std::int64_t kLookWhileAwayNs = 250'000'000;
constexpr std::int64_t kLookWhileBoundNs = 1'000'000'000;

}  // namespace

void Consumer::check_interest() {
  if (config().is_pull()) {
    return;
  }
  mark();
  const Moment now = moment();
  const bool active = out_.has_interest(config().deliver_subject);
  const bool came = active && !active_;
  set_active(active, now);
  if (came || awaiting_) {
    awaiting_ = false;  // it may have been one that is gone
    more_ = true;
  }
}

void Consumer::set_active(bool active, const Moment& now) {
  const bool changed = active != active_;
  active_ = active;
  interest_at_ns_ = now.steady_ns + (active ? kLookWhileBoundNs : kLookWhileAwayNs);
  if (active) {
    inactive_at_ns_ = kNoDeadline;
  } else if (config().inactive_threshold_ns > 0 && inactive_at_ns_ == kNoDeadline) {
    inactive_at_ns_ = now.steady_ns + config().inactive_threshold_ns;
  }
  if (active && (changed || heartbeat_at_ns_ == kNoDeadline)) {
    // What the last receiver had not confirmed is no burden of the new one.
    flow_.reset();
    heartbeat_at_ns_ =
        config().idle_heartbeat_ns > 0 ? now.steady_ns + config().idle_heartbeat_ns : kNoDeadline;
  }
}

void Consumer::send_heartbeat(std::string_view to) {
  const std::string block = heartbeat_block(
      ledger_.delivered().consumer, ledger_.delivered().stream, flow_.outstanding());
  if (out_.publish({to, {}, block, {}}) == 0) {
    set_active(false, moment());
  }
}

std::uint64_t Consumer::next_random() {
  // xorshift64*: for samples and names, where anybody may guess.
  random_ ^= random_ >> 12U;
  random_ ^= random_ << 25U;
  random_ ^= random_ >> 27U;
  return random_ * 0x2545F4914F6CDD1DULL;
}

void Consumer::ask_for_flow() {
  constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuvwxyz";
  std::string reply = "$JS.FC." + stream_.name() + "." + name() + ".";
  std::uint64_t random = next_random();
  for (int i = 0; i < 4; ++i, random /= kDigits.size()) {
    reply.push_back(kDigits[random % kDigits.size()]);
  }
  flow_.asked(reply);
  out_.publish({config().deliver_subject, reply, status_block("100 FlowControl Request"), {}});
}

void Consumer::on_flow_control(std::string_view subject) {
  if (flow_.answered(subject)) {
    pump(moment());
  }
}

}  // namespace feedvault::broker::streams
