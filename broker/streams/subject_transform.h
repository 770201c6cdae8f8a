#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "broker/streams/stream_config.h"

namespace feedvault::broker::streams {

/// Makes subjects of one form into subjects of another (ADR-30, as nats-server 2.10 has it). The
/// destination may name the source's wildcards as $1 or {{wildcard(1)}}, end in '>' when the source
/// does, and use {{partition(buckets,1,2...)}}, {{splitFromLeft(1,n)}}, {{splitFromRight(1,n)}},
/// {{sliceFromLeft(1,n)}}, {{sliceFromRight(1,n)}} and {{split(1,-)}}; letters' case in the names
/// of functions does not matter. Value type; after compiling, any thread.
class SubjectTransform {
 public:
  /// kInvalidArgument with nats-server's text. An empty source matches everything.
  static Result<SubjectTransform> compile(const SubjectTransformConfig& config);

  /// True, and the new subject in `out`, when `subject` matches the source. Not when nothing would
  /// be left of a token: "-" split at "-".
  bool apply(std::string_view subject, std::string& out) const;

 private:
  enum class Kind : std::uint8_t {
    kLiteral,
    kRest,
    kWildcard,
    kPartition,
    kSplitFromLeft,
    kSplitFromRight,
    kSliceFromLeft,
    kSliceFromRight,
    kSplit,
  };
  struct Part {
    Kind kind = Kind::kLiteral;
    std::string text;                 // literal, or split's delimiter
    std::vector<std::size_t> tokens;  // of the source, from 0: the ones that the function takes
    std::size_t number = 0;           // buckets, position or size
  };

  static Result<Part> compile_token(std::string_view token,
                                    const std::vector<std::size_t>& wildcards);
  static Result<Part> compile_function(std::string_view token,
                                       const std::vector<std::size_t>& wildcards);
  static void append(const Part& part,
                     const std::vector<std::string_view>& tokens,
                     std::string& out);

  std::string source_;
  std::size_t source_tokens_ = 0;  // without '>'
  std::vector<Part> parts_;
  bool may_fail_ = false;  // to make a valid subject
};

}  // namespace feedvault::broker::streams
