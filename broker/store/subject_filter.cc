#include "broker/store/subject_filter.h"

#include <algorithm>
#include <utility>

#include "base/subject.h"

namespace feedvault::broker::store {

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
  return filters_.size() == 1 && !has_wildcard(filters_[0]) ? std::string_view(filters_[0])
                                                            : std::string_view();
}

}  // namespace feedvault::broker::store
