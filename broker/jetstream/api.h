#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/stream_host.h"
#include "broker/streams/consumer_set.h"
#include "broker/streams/streams.h"

namespace feedvault::broker::jetstream {

/// What the wire API needs of the service around it.
class ApiHost {
 public:
  virtual ~ApiHost() = default;
  virtual void answer(std::string_view reply, std::string_view text) = 0;
  virtual void no_responders(const Sender& to, std::string_view reply) = 0;
  virtual std::int64_t unix_ns() const = 0;
  /// The stream listens to its subjects from now on.
  virtual void stream_created(streams::Stream& stream) = 0;
  /// Its subjects may be others now.
  virtual void stream_updated(streams::Stream& stream) = 0;
  /// It is about to be removed: it listens to nothing any more, and `then` is called, now or later,
  /// once nothing of it is on its way to the disk. After that it is not touched any more.
  virtual void stream_removed(streams::Stream& stream, std::function<void()> then) = 0;
  /// Something was changed that may need a commit, or let what was held back go on.
  virtual void touched(streams::Stream& stream) = 0;
  /// Calls `work` on another thread, and after it `then` on this one.
  virtual void on_disk(std::function<void()> work, std::function<void()> then) = 0;
  /// Calls `task` on this thread, later.
  virtual void later(std::function<void()> task) = 0;
};

/// Requests to $JS.API.>: from their subject and JSON to the streams and back. Knows no threads and
/// no sockets; called on the streams' loop.
///
/// Nobody waits for a disk that somebody else's request is for. What creates, changes or deletes a
/// stream or its consumers is answered once that is durable; requests of that kind about the same
/// stream wait for it, in their order, and all others go on. When kChangesMax requests or
/// kChangesBytesMax bytes of them wait, more are refused.
///
/// Sizes of answers are bounded by pages: kPageMax names, kListMax descriptions, kSubjectsMax
/// subjects, kDeletedMax deleted numbers.
class Api {
 public:
  static constexpr std::size_t kPageMax = 1024;
  static constexpr std::size_t kListMax = 256;
  static constexpr std::size_t kSubjectsMax = 100'000;
  static constexpr std::size_t kDeletedMax = 1U << 20U;
  static constexpr std::size_t kChangesMax = 10'000;  // as many requests as nats-server keeps
  static constexpr std::size_t kChangesBytesMax = 64U << 20U;

  struct Limits {
    std::int64_t max_memory = -1;  // bytes of all streams together; -1: no limit
    std::int64_t max_file = -1;
  };
  /// References must outlive this.
  Api(streams::Streams& streams, streams::Output& output, ApiHost& host, Limits limits);
  ~Api();
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  /// `path`: the subject behind "$JS.API.".
  void handle(std::string_view path, const Arrival& arrival);

  std::uint64_t total() const { return total_; }
  std::uint64_t errors() const { return errors_; }

 private:
  struct Call;
  struct Method;
  struct Asked;
  struct Late;

  static std::span<const Method> methods();
  bool dispatch(Call& call);
  std::optional<streams::ApiError> check_limits(const streams::StreamConfig& config) const;
  streams::Stream* find_stream(Call& call);
  void fail(Call& call, const streams::ErrorSpec& error);
  void answer(const Call& call);
  void answer_when_durable(Call& call, streams::Stream& stream, const streams::ErrorSpec& failure);
  void answer_when_stored(Call& call, streams::Consumer& consumer);
  std::shared_ptr<Late> put_off(Call& call);
  void finish(Late& late, const std::function<void(Call&)>& complete);
  void end_change(const std::string& stream);
  void count_change(const Asked& asked);
  void uncount_change(const Asked& asked);
  void audit(const Arrival& arrival, std::string_view response);

  void account_info(Call& call);
  void stream_create(Call& call);
  void stream_update(Call& call);
  void stream_info(Call& call);
  void stream_names(Call& call);
  void stream_list(Call& call);
  void stream_delete(Call& call);
  void stream_purge(Call& call);
  void message_get(Call& call);
  void message_delete(Call& call);
  void direct_get(Call& call);
  void not_clustered(Call& call);
  void unsupported(Call& call);
  void template_names(Call& call);
  void consumer_create(Call& call);
  void durable_create(Call& call);
  void finish_create(Call& call,
                     streams::ConsumerConfig config,
                     streams::ConsumerSet::CreateAction action);
  std::vector<streams::Stream*> stream_page(Call& call, std::size_t limit);
  std::vector<streams::Consumer*> consumer_page(Call& call, std::size_t limit);
  void consumer_info(Call& call);
  void consumer_names(Call& call);
  void consumer_list(Call& call);
  void consumer_delete(Call& call);
  void consumer_pause(Call& call);
  void consumer_next(Call& call);

  streams::Streams& streams_;
  streams::Output& output_;
  ApiHost& host_;
  Limits limits_;
  std::uint64_t total_ = 0;
  std::uint64_t errors_ = 0;
  store::ReadBuffer buffer_;
  // Streams that are being changed, and the requests that wait for it.
  std::map<std::string, std::deque<Asked>, std::less<>> changing_;
  std::size_t changes_ = 0;  // requests among both, answered when their disk lets them
  std::size_t changes_bytes_ = 0;
};

}  // namespace feedvault::broker::jetstream
