// Random operations on a stream and its consumer, with kills and power cuts, against a map of what
// was acknowledged.

#include <map>
#include <random>
#include <set>

#include "tests/unit/broker/streams/consumer_fixture.h"

namespace feedvault::broker::streams {
namespace {

enum class Crash { kNone, kKill, kPowerCut };

class RandomConsumer : public ConsumerTest {
 protected:
  struct Message {
    bool matches = true;
    bool delivered = false;
    bool acked = false;     // the client sent it, and the loop's turn ended
    bool promised = false;  // and somebody was told that it is durable
    std::string reply;
  };

  std::uint64_t below(std::uint64_t bound) {
    return std::uniform_int_distribution<std::uint64_t>(0, bound - 1)(random_);
  }

  void begin(std::uint64_t seed, AckPolicy policy, Retention retention, bool filtered) {
    random_.seed(seed);
    messages_.clear();
    stream_.reset();
    config_.name = "ORD" + std::to_string(seed) + std::to_string(static_cast<int>(policy)) +
                   std::to_string(static_cast<int>(retention)) + (filtered ? "f" : "");
    config_.retention = retention;
    consumer_config_ = {};
    consumer_config_.durable_name = "C";
    consumer_config_.ack_policy = policy;
    consumer_config_.ack_wait_ns = 1'000'000'000;
    consumer_config_.max_ack_pending = 1 + static_cast<std::int64_t>(below(40));
    consumer_config_.filter_subjects =
        filtered ? std::vector<std::string>{"ord.1", "ord.2"} : std::vector<std::string>{};
    filtered_ = filtered;
    published_ = 0;
    create();
    start();
  }

  /// Takes note of what clients got since the last call.
  void take() {
    for (const Sent& each : clients_.sent) {
      const auto ack = parse_ack_subject(each.reply);
      if (!ack.has_value()) {
        if (each.to.rfind("inbox.ack.", 0) == 0) {
          promise(std::stoull(each.to.substr(10)));
        }
        continue;
      }
      const StreamSeq seq = ack->stream_seq;
      ASSERT_EQ(messages_.count(seq), 1U) << seq << " is removed";
      Message& message = messages_[seq];
      ASSERT_TRUE(message.matches);
      ASSERT_FALSE(message.acked) << seq << " was acknowledged";
      ASSERT_EQ(each.payload, "m" + std::to_string(seq));
      message.delivered = true;
      message.reply = each.reply;
    }
    clients_.sent.clear();
  }
  void promise(StreamSeq seq) {
    for (auto& [each, message] : messages_) {
      if (each == seq || (consumer_config_.ack_policy == AckPolicy::kAll && each < seq)) {
        message.promised = true;
      }
    }
  }
  bool done(const Message& message) const { return message.acked || !message.matches; }

  void publish_some() {
    const int n = 1 + static_cast<int>(below(8));
    for (int i = 0; i < n; ++i) {
      const auto seq = static_cast<StreamSeq>(published_ + i + 1);
      messages_[seq].matches = !filtered_ || seq % 3 != 0;
    }
    publish(n);
  }
  Message* some_delivered(StreamSeq& seq) {
    std::vector<StreamSeq> all;
    for (const auto& [each, message] : messages_) {
      if (message.delivered && !message.acked) {
        all.push_back(each);
      }
    }
    if (all.empty()) {
      return nullptr;
    }
    seq = all[below(2) == 0 ? 0 : below(all.size())];
    return &messages_[seq];
  }
  void acknowledge() {
    StreamSeq seq = 0;
    Message* const message = some_delivered(seq);
    if (message == nullptr || deliveries_forgotten(seq)) {
      return;
    }
    const bool waits = below(2) == 0;
    if (consumer_config_.ack_policy == AckPolicy::kAll) {
      for (auto& [each, earlier] : messages_) {
        if (each <= seq && earlier.delivered) {
          earlier.acked = true;
        }
      }
    }
    message->acked = true;
    ack(message->reply,
        below(5) == 0 ? "+TERM" : "+ACK",
        waits ? "inbox.ack." + std::to_string(seq) : "");
    forget_done();
  }
  /// After a power cut it does not know of deliveries that clients remember.
  bool deliveries_forgotten(StreamSeq seq) { return seq > info().delivered.stream; }
  void reject() {
    StreamSeq seq = 0;
    if (Message* const message = some_delivered(seq)) {
      static const char* const kPayloads[] = {"-NAK", "-NAK 300ms", "+WPI", "rubbish"};
      ack(message->reply, kPayloads[below(4)]);
    }
  }
  void remove_some() {
    if (messages_.empty()) {
      return;
    }
    auto at = messages_.begin();
    std::advance(at, below(messages_.size()));
    if (below(20) == 0) {
      ASSERT_TRUE(stream_->purge({{}, at->first, 0}).has_value());
      messages_.erase(messages_.begin(), at);
    } else {
      ASSERT_FALSE(stream_->delete_message(at->first, false).has_value());
      messages_.erase(at);
    }
    turn();
  }
  /// Retention removes what is done.
  void forget_done() {
    if (config_.retention == Retention::kWorkQueue) {
      std::erase_if(messages_, [](const auto& each) { return each.second.acked; });
    }
  }
  void crash(Crash how) {
    take();
    if (how == Crash::kKill) {
      kill();
    } else {
      cut_power();
      after_power_cut();
    }
    turn();
  }

  /// What nobody was promised may be undone, and then it comes again; nothing else changes.
  void after_power_cut() {
    const std::map<StreamSeq, Message> before = std::exchange(messages_, {});
    for (StreamSeq seq = 1; seq <= static_cast<StreamSeq>(published_); ++seq) {
      store::ReadBuffer buffer;
      const auto known = before.find(seq);
      if (!stream_->get(seq, buffer).has_value()) {
        ASSERT_TRUE(known == before.end() || config_.retention == Retention::kWorkQueue) << seq;
        continue;
      }
      Message message = known == before.end() ? Message() : known->second;
      message.matches = !filtered_ || seq % 3 != 0;
      const bool needed = message.matches && consumer().needs(seq);
      if (known == before.end()) {
        // It was removed, and removals without a sync may be undone.
        message.acked = message.matches && !needed;
      } else {
        ASSERT_FALSE(needed && message.promised) << seq << " was promised";
        ASSERT_TRUE(needed || done(message)) << seq << " is lost";
        message.acked = message.matches && !needed;
      }
      messages_[seq] = message;
    }
    forget_done();
  }

  void check() {
    std::uint64_t pending = 0;
    std::uint64_t waiting = 0;
    const ConsumerInfo now = info();
    for (const auto& [seq, message] : messages_) {
      if (message.matches && seq > now.delivered.stream) {
        ++pending;
      } else if (message.matches && !message.acked) {
        ++waiting;
        ASSERT_GT(seq, now.ack_floor.stream) << "the floor passed an unacknowledged message";
        ASSERT_TRUE(consumer().needs(seq));
      }
    }
    ASSERT_EQ(now.num_pending, pending);
    ASSERT_EQ(now.num_ack_pending, waiting);
    ASSERT_LE(now.ack_floor.stream, now.delivered.stream);
    ASSERT_LE(now.ack_floor.consumer, now.delivered.consumer);
    if (config_.retention == Retention::kWorkQueue) {
      ASSERT_EQ(stream_->state().messages, messages_.size());
    }
  }

  /// In the end everything is delivered and acknowledged.
  void drain() {
    for (int round = 0; round < 400; ++round) {
      pull(50);
      take();
      StreamSeq seq = 0;
      while (!HasFatalFailure()) {
        Message* const message = some_delivered(seq);
        if (message == nullptr || deliveries_forgotten(seq)) {
          break;
        }
        message->acked = true;
        if (consumer_config_.ack_policy == AckPolicy::kAll) {
          for (auto& [each, earlier] : messages_) {
            earlier.acked = earlier.acked || (each <= seq && earlier.delivered);
          }
        }
        ack(message->reply, "+ACK");
        take();
      }
      forget_done();
      pass(Ms(500));
      take();
    }
    const ConsumerInfo now = info();
    EXPECT_EQ(now.num_pending, 0U);
    EXPECT_EQ(now.num_ack_pending, 0U);
    for (const auto& [seq, message] : messages_) {
      EXPECT_TRUE(done(message)) << seq << " was passed over";
    }
  }

  void run(int steps, Crash crashes) {
    for (int i = 0; i < steps && !HasFatalFailure(); ++i) {
      switch (below(12)) {
        case 0:
        case 1:
          publish_some();
          break;
        case 2:
        case 3:
        case 4: {
          PullRequest request;
          request.batch = 1 + static_cast<std::int64_t>(below(10));
          request.expires_ns = 200'000'000;
          request.no_wait = below(4) == 0;
          pull(request, below(6) == 0 ? "gone" : "inbox.1");
          break;
        }
        case 5:
        case 6:
        case 7:
        case 8:
          acknowledge();
          break;
        case 9:
          reject();
          break;
        case 10:
          pass(Ms(below(700)));
          break;
        default:
          if (below(6) == 0) {
            remove_some();
          } else if (crashes != Crash::kNone && below(4) == 0) {
            crash(crashes);
          }
      }
      take();
      forget_done();
      check();
    }
  }

  /// All kinds of streams and consumers, one seed after the other.
  void run_all(Crash crashes, int seeds) {
    for (int seed = 1; seed <= seeds; ++seed) {
      const AckPolicy policy = seed % 3 == 0 ? AckPolicy::kAll : AckPolicy::kExplicit;
      const Retention retention = policy == AckPolicy::kExplicit && seed % 2 == 0
                                      ? Retention::kWorkQueue
                                      : Retention::kLimits;
      // A workqueue with a filter keeps what nobody gets.
      const bool filtered = seed % 5 < 2 && retention == Retention::kLimits;
      SCOPED_TRACE("seed " + std::to_string(seed));
      begin(static_cast<std::uint64_t>(seed), policy, retention, filtered);
      run(250, crashes);
      if (!HasFatalFailure()) {
        drain();
      }
      if (HasFailure()) {
        return;
      }
    }
  }

  std::mt19937_64 random_;
  std::map<StreamSeq, Message> messages_;
  bool filtered_ = false;
};

TEST_F(RandomConsumer, DeliversUntilEverythingIsAcknowledged) {
  run_all(Crash::kNone, 12);
}

TEST_F(RandomConsumer, ForgetsNothingWhenItIsKilled) {
  run_all(Crash::kKill, 12);
}

TEST_F(RandomConsumer, KeepsItsPromisesThroughPowerCuts) {
  run_all(Crash::kPowerCut, 12);
}

}  // namespace
}  // namespace feedvault::broker::streams
