#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/mutex.h"
#include "gateway/feed.h"
#include "gateway/history_query.h"
#include "gateway/http/message.h"
#include "gateway/message_writer.h"
#include "gateway/worker_pool.h"

namespace feedvault::gateway {

struct HistoryRequestOptions {
  Format format = Format::kJson;
  QueryItems items;  // as the request had them, for the next page's target
};

/// The body of a history answer: read from the table page by page on the pool's threads, at most
/// kAheadBytes ahead of what the connection has taken, so that an answer of any length costs the
/// same memory and a slow reader holds no thread. What cannot be read on breaks the answer off; the
/// reader goes on behind the last message that it got.
class HistoryStream final : public BodyStream, public std::enable_shared_from_this<HistoryStream> {
 public:
  /// Resolves the range, reads the first rows and answers; the rest comes as the connection asks.
  /// Everything borrowed must outlive the pool.
  static void answer(const Feed& feed,
                     HistoryQuery query,
                     HistoryRequestOptions options,
                     WorkerPool& pool,
                     Counter rows_total,
                     Respond respond);

  HistoryStream(const Feed& feed,
                HistoryQuery query,
                HistoryRequestOptions options,
                WorkerPool& pool,
                Counter rows_total);

  void on_ready(std::function<void()> wake) override;
  State take(std::vector<Piece>& pieces) override;

 private:
  // On a thread of the pool, one call at a time.
  void begin(storage::CatalogueReader& catalogue, const Respond& respond);
  Status resolve_range(storage::CatalogueReader& catalogue);
  Status read_page(storage::CatalogueReader& catalogue, std::size_t rows_max, std::string& text);
  bool passes(const MessageView& message);
  void write(const MessageView& message, std::string& text);
  void write_end(std::string& text);
  void read_on(storage::CatalogueReader& catalogue);
  bool finished() const { return next_ >= scan_.end_seq || left_ == 0; }
  Response make_response();
  /// Another job, unless one runs or there is enough. False: the pool is full.
  bool schedule();

  const Feed& feed_;
  const HistoryQuery query_;
  const HistoryRequestOptions options_;
  WorkerPool& pool_;
  const Counter rows_total_;

  // The running job's own.
  storage::Scan scan_;
  MessageWriter writer_;
  std::uint64_t next_ = 1;
  std::uint64_t left_ = 0;
  std::size_t row_bytes_ = 1;  // of text, lately
  bool first_row_ = true;

  Mutex mutex_;
  std::vector<Piece> ready_ GUARDED_BY(mutex_);
  std::size_t ready_bytes_ GUARDED_BY(mutex_) = 0;
  bool reading_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;
  bool broken_ GUARDED_BY(mutex_) = false;
  std::function<void()> wake_ GUARDED_BY(mutex_);
};

}  // namespace feedvault::gateway
