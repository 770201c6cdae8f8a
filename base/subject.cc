#include "base/subject.h"

namespace feedvault {
namespace {

// Takes the first token off `rest`; false behind the last one.
bool take_token(std::string_view& rest, bool& at_end, std::string_view& token) {
  if (at_end) {
    return false;
  }
  const std::size_t dot = rest.find('.');
  token = rest.substr(0, dot);
  at_end = dot == std::string_view::npos;
  rest = at_end ? std::string_view() : rest.substr(dot + 1);
  return true;
}

}  // namespace

std::string_view subject_problem(std::string_view subject) {
  if (subject.empty()) {
    return "it is empty";
  }
  for (const char c : subject) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '\x7f') {
      return "it contains white space or a control character";
    }
  }
  std::string_view rest = subject;
  std::string_view token;
  bool at_end = false;
  bool tail_wildcard = false;
  while (take_token(rest, at_end, token)) {
    if (tail_wildcard) {
      return "'>' must be its last token";
    }
    if (token.empty()) {
      return "it has an empty token";
    }
    tail_wildcard = token == ">";
    if (token.size() > 1 && token.find_first_of("*>") != std::string_view::npos) {
      return "'*' and '>' must be tokens of their own";
    }
  }
  return {};
}

bool has_wildcard(std::string_view subject) {
  // Most subjects have no such byte at all.
  if (subject.find_first_of("*>") == std::string_view::npos) {
    return false;
  }
  std::string_view token;
  bool at_end = false;
  while (take_token(subject, at_end, token)) {
    if (token == "*" || token == ">") {
      return true;
    }
  }
  return false;
}

namespace {

enum class Against : std::uint8_t { kSubject, kFilter };

// Against a subject, '>' in it is a token like others; in a filter it stands for more than one.
bool covers(std::string_view filter, std::string_view other, Against against) {
  bool filter_end = false;
  bool other_end = false;
  for (;;) {
    std::string_view wanted;
    std::string_view token;
    const bool filter_has = take_token(filter, filter_end, wanted);
    const bool other_has = take_token(other, other_end, token);
    if (!filter_has || !other_has) {
      return filter_has == other_has;
    }
    if (wanted == ">" && filter_end) {
      return true;
    }
    if ((against == Against::kFilter && token == ">") || (wanted != "*" && wanted != token)) {
      return false;
    }
  }
}

}  // namespace

bool subject_matches(std::string_view filter, std::string_view subject) {
  return covers(filter, subject, Against::kSubject);
}

bool subject_is_subset(std::string_view filter, std::string_view subject) {
  return covers(filter, subject, Against::kFilter);
}

bool subjects_overlap(std::string_view a, std::string_view b) {
  bool a_end = false;
  bool b_end = false;
  for (;;) {
    std::string_view a_token;
    std::string_view b_token;
    const bool a_has = take_token(a, a_end, a_token);
    const bool b_has = take_token(b, b_end, b_token);
    if (!a_has || !b_has) {
      return a_has == b_has;
    }
    if (a_token == ">" || b_token == ">") {
      return true;
    }
    if (a_token != b_token && a_token != "*" && b_token != "*") {
      return false;
    }
  }
}

}  // namespace feedvault
