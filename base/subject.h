#pragma once

#include <string_view>

namespace feedvault {

// NATS subjects: tokens separated by dots; as a whole token, `*` stands for any one token and `>`,
// at the end, for one or more.

/// Why `subject` cannot be captured or subscribed to, in words; empty when it can.
std::string_view subject_problem(std::string_view subject);

/// True for a subject with `*` or `>` as a whole token: one to listen on, not to publish to. Stars
/// within words are literal.
bool has_wildcard(std::string_view subject);

/// Is `subject`, taken literally, matched by `filter`? Both must be valid.
bool subject_matches(std::string_view filter, std::string_view subject);

/// Is every subject that `subject` (perhaps with wildcards) matches also matched by `filter`? Both
/// must be valid.
bool subject_is_subset(std::string_view filter, std::string_view subject);

/// True when some subject is matched by both. Both must be valid.
bool subjects_overlap(std::string_view a, std::string_view b);

}  // namespace feedvault
