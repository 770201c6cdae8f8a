#include "broker/store/subject_filter.h"

#include <algorithm>
#include <utility>

namespace feedvault::broker::store {
namespace {

/// Cuts the first token off.
std::string_view next_token(std::string_view& rest, bool& more) {
  const std::size_t dot = rest.find('.');
  more = dot != std::string_view::npos;
  const std::string_view token = rest.substr(0, dot);
  rest = more ? rest.substr(dot + 1) : std::string_view();
  return token;
}

bool has_wildcard_token(std::string_view filter) {
  bool more = true;
  while (more) {
    const std::string_view token = next_token(filter, more);
    if (token == "*" || token == ">") {
      return true;
    }
  }
  return false;
}

}  // namespace

bool subject_matches(std::string_view filter, std::string_view subject) {
  bool more_filter = true;
  bool more_subject = true;
  while (more_filter && more_subject) {
    const std::string_view wanted = next_token(filter, more_filter);
    if (wanted == ">" && !more_filter) {
      return true;
    }
    const std::string_view token = next_token(subject, more_subject);
    if (wanted != "*" && wanted != token) {
      return false;
    }
  }
  return more_filter == more_subject;
}

SubjectFilter::SubjectFilter(std::string filter) {
  if (filter != ">") {
    filters_.push_back(std::move(filter));
  }
}

SubjectFilter::SubjectFilter(std::vector<std::string> filters) : filters_(std::move(filters)) {
  if (std::ranges::find(filters_, ">") != filters_.end()) {
    filters_.clear();
  }
}

bool SubjectFilter::matches(std::string_view subject) const {
  return filters_.empty() || std::ranges::any_of(filters_, [subject](const std::string& filter) {
           return subject_matches(filter, subject);
         });
}

std::string_view SubjectFilter::only_subject() const {
  return filters_.size() == 1 && !has_wildcard_token(filters_[0]) ? std::string_view(filters_[0])
                                                                  : std::string_view();
}

}  // namespace feedvault::broker::store
