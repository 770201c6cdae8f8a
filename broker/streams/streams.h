#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
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
  ApiResult<Stream*> update(StreamConfig config);
  /// STREAM.DELETE. Requires: the stream has no commit under way. It is destroyed.
  std::optional<ApiError> remove(std::string_view name);

  /// nullptr when there is none.
  Stream* find(std::string_view name) const;
  /// Sorted by name, with those of a subject that overlaps `filter` only ("" for all):
  /// STREAM.NAMES.
  std::vector<Stream*> list(std::string_view filter = {}) const;
  std::size_t size() const { return streams_.size(); }
  const std::vector<Unusable>& unusable() const { return unusable_; }

  /// Every stream is closed properly. Requires: no commit is under way.
  Status close();

 private:
  explicit Streams(Options options) : options_(std::move(options)) {}
  std::optional<ApiError> overlap(const StreamConfig& config) const;
  Status open_all();

  Options options_;
  std::map<std::string, std::unique_ptr<Stream>, std::less<>> streams_;
  std::vector<Unusable> unusable_;
};

}  // namespace feedvault::broker::streams
