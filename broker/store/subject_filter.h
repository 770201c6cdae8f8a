#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace feedvault::broker::store {

/// Which messages a consumer or a request wants: those whose subject matches one of some filters
/// (none: all). It remembers its answer for each subject of the one log it is used with, so that a
/// message costs a look into an array; the memory is 4 bytes a subject of the log. One thread.
class SubjectFilter {
 public:
  /// Matches everything.
  SubjectFilter() = default;
  explicit SubjectFilter(std::string filter);
  explicit SubjectFilter(std::vector<std::string> filters);

  bool matches_all() const { return filters_.empty(); }
  bool matches(std::string_view subject) const;
  const std::vector<std::string>& filters() const { return filters_; }
  /// The one subject that can match, or "" when there may be several.
  std::string_view only_subject() const;

  /// For the log: as matches(subject_of()), remembered under `id`. A number that was given to
  /// another subject comes with another `generation`.
  template <typename SubjectOf>
  bool matches_id(std::uint32_t id, std::uint32_t generation, SubjectOf&& subject_of) {
    if (filters_.empty()) {
      return true;
    }
    if (id >= known_.size()) {
      known_.resize(id + 1 + id / 2, 0);
    }
    const std::uint32_t yes = (generation << 2U) | 3U;
    const std::uint32_t no = (generation << 2U) | 2U;
    if (known_[id] != yes && known_[id] != no) {
      known_[id] = matches(subject_of()) ? yes : no;
    }
    return known_[id] == yes;
  }

 private:
  std::vector<std::string> filters_;
  std::vector<std::uint32_t> known_;  // by subject id: generation and answer, 0 for not asked yet
};

}  // namespace feedvault::broker::store
