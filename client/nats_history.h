#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "client/history_source.h"
#include "client/nats/connection.h"

namespace feedvault {

/// History from the service on feed.history.<feed>. While one page is taken, the next ones are on
/// their way: pages that follow each other come faster than a round trip each. At most
/// `pages_ahead` pages are in memory, whatever the caller does; twice as many where an answer has
/// to be asked for again.
class NatsHistory final : public HistorySource {
 public:
  struct Options {
    std::size_t pages_ahead = 3;
    /// With nothing arriving for so long, the same is asked again: whoever had the question may be
    /// gone, or hang, and another one there. And again after twice that silence, and so on. What
    /// comes first counts. Twice as long after each time that the first one was only slow.
    std::chrono::milliseconds patience{500};
    /// With nothing arriving for so long after the first time, a page is given up: kTimeout.
    std::chrono::milliseconds silence_max{5000};
  };

  /// `connection` must outlive it.
  static Result<std::unique_ptr<NatsHistory>> open(nats::Connection& connection,
                                                   const Options& options);
  ~NatsHistory() override = default;
  NatsHistory(const NatsHistory&) = delete;
  NatsHistory& operator=(const NatsHistory&) = delete;

  /// kUnavailable when no service listens, or it has no database just now.
  Result<HistoryPage> read_page(const std::string& feed, const HistoryRequest& request) override;
  Result<std::uint64_t> seq_at_time(const std::string& feed, std::int64_t timestamp_us) override;
  Result<SeqRange> held(const std::string& feed) override;

  /// Calls return kCancelled from now on, also one that waits. Any thread.
  void cancel();

 private:
  /// What has come of an answer.
  struct Answer {
    std::size_t messages_max = 0;
    std::vector<nats::Message> parts;  // packs of messages
    std::size_t messages = 0;          // in all of them
    nats::Message last;                // the one that ends it
    bool ended = false;
    bool lost = false;  // with the connection
  };
  /// A request, and the ids of its answers.
  struct Asked {
    std::string subject;
    std::string request;
    std::size_t messages_max = 0;
    SeqRange range;
    std::uint64_t id = 0;
    std::uint64_t again_id = 0;  // of the last time; 0: it was not asked again
  };

  NatsHistory(nats::Connection& connection, const Options& options)
      : connection_(connection),
        options_(options),
        inbox_(connection.new_inbox()),
        patience_(options.patience) {}

  void arrive(nats::Message message);
  void connection_lost();
  /// Returns the id of the answer to come.
  Result<std::uint64_t> ask(const Asked& asked);
  bool has_ended(std::uint64_t id) const REQUIRES_LOCK(mutex_);
  Status ask_again(Asked& asked);
  Status ask_all_again(Asked& asked);
  Result<Answer> wait(Asked& asked);
  Result<Answer> first_answer(const Asked& asked, std::chrono::milliseconds silence_max);
  Result<Answer> take_answer(const Asked& asked) REQUIRES_LOCK(mutex_);
  static Status problem_of(const Answer& answer);
  Result<Answer> ask_and_wait(const std::string& feed, const std::string& request);
  Status ask_ahead(const HistoryRequest& request);
  Result<HistoryPage> take_page(const HistoryRequest& request);
  void adapt(const SeqRange& asked, const HistoryPage& page, const HistoryRequest& request);
  void forget_pages();

  nats::Connection& connection_;
  const Options options_;
  const std::string inbox_;

  // The caller's thread.
  std::string feed_;          // of the pages
  std::deque<Asked> pages_;   // in the feed's order, without holes
  std::size_t ahead_ = 1;     // how many pages are to be under way
  std::size_t messages_ = 0;  // of one page; fewer than asked for where messages are large
  std::uint64_t last_id_ = 0;
  std::chrono::milliseconds patience_;

  Mutex mutex_;
  CondVar arrived_;
  std::map<std::uint64_t, Answer> answers_
      GUARDED_BY(mutex_);  // by id; what is not in it is dropped
  std::uint64_t arrivals_ GUARDED_BY(mutex_) = 0;
  bool cancelled_ GUARDED_BY(mutex_) = false;

  std::unique_ptr<nats::Subscription> subscription_;  // last: its handler uses what is above
};

}  // namespace feedvault
