#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "client/feed_join.h"
#include "gateway/http/message.h"
#include "gateway/live_feed.h"
#include "gateway/worker_pool.h"

namespace feedvault::gateway {

/// One live reader's body: server-sent events from a position on, out of the feed's ring, or, while
/// the ring does not reach back that far, out of the table by pages. FeedJoin decides which, so
/// that nothing is missed or comes twice; what neither has is told by an event `gap`. Begins with
/// its start as an id, for readers that are cut off before the first event. Holds no more than one
/// page; a reader that is slow falls back to the table by itself.
class LiveStream final : public BodyStream, public std::enable_shared_from_this<LiveStream> {
 public:
  /// Events behind `last`. `feed` and `pool` must outlive it.
  LiveStream(LiveFeed& feed, WorkerPool& pool, std::uint64_t last, bool from_oldest);
  ~LiveStream() override;
  LiveStream(const LiveStream&) = delete;
  LiveStream& operator=(const LiveStream&) = delete;

  void on_ready(std::function<void()> wake) override;
  State take(std::vector<Piece>& pieces) override;
  bool endless() const override { return true; }
  Piece heartbeat() override;
  void finish() override { finishing_ = true; }

  /// There may be something to take. Any thread.
  void wake();
  /// What it waited for may be there now. Loop's thread.
  void waited();

 private:
  /// What a job brought: events, each with its seq and where it ends in `text`.
  struct Page {
    std::vector<std::pair<std::uint64_t, std::size_t>> events;
    std::string text;
    std::uint64_t next_seq = 0;
    bool end = false;
    bool failed = false;
  };

  void leave_ring();
  bool take_page(std::vector<Piece>& pieces);
  void read_history(const SeqRange& range);
  void bring(Page page);
  void wait_a_while();
  Page read_page(HistorySource& history, const SeqRange& range) const;

  LiveFeed& feed_;
  WorkerPool& pool_;
  FeedJoin join_;
  bool greeted_ = false;
  bool finishing_ = false;
  bool registered_ = false;  // in the ring, perhaps

  Mutex mutex_;
  bool pending_ GUARDED_BY(mutex_) = false;    // a job is to come back
  bool ask_again_ GUARDED_BY(mutex_) = false;  // a wait is over
  std::optional<Page> page_ GUARDED_BY(mutex_);
  std::function<void()> wake_ GUARDED_BY(mutex_);
};

}  // namespace feedvault::gateway
