#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/streams/stream.h"

namespace feedvault::broker::streams {

/// All streams of one account, by name. One thread, the streams' own.
class Streams {
 public:
  struct Options {
    StreamOptions stream;         // for each; stream.dir is created when it is missing
    std::size_t streams_max = 0;  // 0: no limit
  };
  /// A folder that holds no usable stream, and why. Left as it is; its name cannot be used.
  struct Unusable {
    std::string name;
    Status why;
  };

  /// Opens everything that earlier runs left. Damage of single streams is in unusable() and in each
  /// stream's recovery(); an error means that the folder as a whole cannot be used.
  static Result<std::unique_ptr<Streams>> open(const Options& options);

  struct Created {
    Stream* stream = nullptr;
    bool existed = false;  // with the same configuration
  };
  /// Checks, fills in defaults, refuses overlaps. The API's STREAM.CREATE.
  ApiResult<Created> create(StreamConfig config);
  /// STREAM.UPDATE. The stream is the same object afterwards.
  ApiResult<Stream*> update(const StreamConfig& config);
  /// STREAM.DELETE. Requires: the stream has no commit under way. It is destroyed.
  std::optional<ApiError> remove(std::string_view name);

  // The same three in steps, so that others need not wait for the disk. What blocks runs on any
  // thread; the rest is this object's. Requires: nothing else of that kind is under way for a
  // stream of the same name.

  class Creation {
   public:
    /// Known at once: it existed. Nothing: run() and end_create() are needed.
    const std::optional<Created>& outcome() const { return outcome_; }
    void run();  // blocks, once

   private:
    friend class Streams;
    std::optional<Created> outcome_;
    StreamConfig config_;
    StreamOptions options_;
    Result<std::unique_ptr<Stream>> made_{std::unique_ptr<Stream>()};
  };
  /// From now on others cannot take the name, or subjects that overlap.
  ApiResult<std::shared_ptr<Creation>> begin_create(StreamConfig config);
  ApiResult<Created> end_create(Creation& creation);

  /// Then Stream::run_update().
  ApiResult<Stream*> begin_update(const StreamConfig& config);
  ApiResult<Stream*> end_update(Stream& stream);

  class Removal {
   public:
    void run() { status_ = stream_->run_destroy(); }  // blocks, once

   private:
    friend class Streams;
    std::unique_ptr<Stream> stream_;
    Status status_;
  };
  /// From now on there is no such stream, but its name cannot be used. Requires: it exists, and
  /// nothing of it is under way.
  std::shared_ptr<Removal> begin_remove(std::string_view name);
  std::optional<ApiError> end_remove(Removal& removal);

  /// nullptr when there is none.
  Stream* find(std::string_view name) const;
  /// Sorted by name, with those of a subject that overlaps `filter` only ("" for all):
  /// STREAM.NAMES.
  std::vector<Stream*> list(std::string_view filter = {}) const;
  std::size_t size() const { return streams_.size(); }
  /// The sum of max_bytes, of all but one; of streams that are being created or updated, too.
  std::int64_t reserved_bytes(StorageType storage, std::string_view except) const;
  const std::vector<Unusable>& unusable() const { return unusable_; }

  /// Every stream is closed properly. Requires: no commit is under way.
  Status close();

 private:
  explicit Streams(Options options) : options_(std::move(options)) {}
  bool overlaps_any(const StreamConfig& config) const;
  Status open_all();

  Options options_;
  std::map<std::string, std::unique_ptr<Stream>, std::less<>> streams_;
  std::vector<Unusable> unusable_;
  std::vector<Creation*> creating_;
  std::set<std::string, std::less<>> removing_;  // names
};

}  // namespace feedvault::broker::streams
