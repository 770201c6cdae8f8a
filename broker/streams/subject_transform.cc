#include "broker/streams/subject_transform.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "base/subject.h"

namespace feedvault::broker::streams {
namespace {

constexpr std::size_t kNumberDigitsMax = 9;

std::vector<std::string_view> tokens_of(std::string_view subject) {
  std::vector<std::string_view> tokens;
  for (;;) {
    const std::size_t dot = subject.find('.');
    tokens.push_back(subject.substr(0, dot));
    if (dot == std::string_view::npos) {
      return tokens;
    }
    subject.remove_prefix(dot + 1);
  }
}

/// A destination's tokens: dots within {{...}} do not separate any.
std::vector<std::string_view> destination_tokens(std::string_view destination) {
  std::vector<std::string_view> tokens;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= destination.size(); ++i) {
    if (destination.substr(i, 2) == "{{") {
      const std::size_t close = destination.find("}}", i);
      i = close == std::string_view::npos ? destination.size() : close + 2;
    }
    if (i >= destination.size() || destination[i] == '.') {
      tokens.push_back(destination.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  return tokens;
}

std::string_view trimmed(std::string_view text) {
  const auto space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && space(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && space(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

std::optional<std::size_t> small_number(std::string_view text) {
  text = trimmed(text);
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || text.size() > kNumberDigitsMax || error != std::errc() ||
      end != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

Status mapping_error(std::string_view what, std::string_view token) {
  return invalid_argument("invalid mapping destination: " + std::string(what) + " in " +
                          std::string(token));
}

/// FNV-1a, 32 bits: what nats-server and its clients partition by.
std::uint32_t fnv1a(std::uint32_t hash, std::string_view bytes) {
  for (const char c : bytes) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  }
  return hash;
}

void append_slices(std::string_view token, std::size_t first, std::size_t size, std::string& out) {
  out += token.substr(0, first);
  for (std::size_t at = first; at < token.size(); at += size) {
    if (at > 0) {
      out += '.';
    }
    out += token.substr(at, size);
  }
}

/// Parts that are empty are left out.
void append_split(std::string_view token, std::string_view delimiter, std::string& out) {
  bool first = true;
  while (!token.empty()) {
    const std::size_t at = token.find(delimiter);
    const std::string_view part = token.substr(0, at);
    if (!part.empty()) {
      if (!first) {
        out += '.';
      }
      out += part;
      first = false;
    }
    token = at == std::string_view::npos ? std::string_view() : token.substr(at + delimiter.size());
  }
}

}  // namespace

Result<SubjectTransform> SubjectTransform::compile(const SubjectTransformConfig& config) {
  SubjectTransform transform;
  transform.source_ = config.source.empty() ? ">" : config.source;
  if (!subject_problem(transform.source_).empty()) {
    return invalid_argument("invalid subject " + transform.source_);
  }
  std::vector<std::size_t> wildcards;
  const auto source = tokens_of(transform.source_);
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == "*") {
      wildcards.push_back(i);
    }
  }
  const bool open_end = source.back() == ">";
  transform.source_tokens_ = source.size() - (open_end ? 1 : 0);
  const auto destination = destination_tokens(config.destination);
  for (std::size_t i = 0; i < destination.size(); ++i) {
    const std::string_view token = destination[i];
    if (token == ">" && i + 1 == destination.size() && open_end) {
      transform.parts_.push_back({Kind::kRest, {}, {}, 0});
      continue;
    }
    if (token.empty() || token == ">" || token == "*") {
      return invalid_argument("invalid mapping destination");
    }
    ASSIGN_OR_RETURN(Part part, compile_token(token, wildcards));
    transform.may_fail_ = transform.may_fail_ || part.kind == Kind::kSplit;
    transform.parts_.push_back(std::move(part));
  }
  if (open_end && transform.parts_.back().kind != Kind::kRest) {
    return invalid_argument("invalid mapping destination");
  }
  return transform;
}

Result<SubjectTransform::Part> SubjectTransform::compile_token(
    std::string_view token, const std::vector<std::size_t>& wildcards) {
  if (token.size() > 1 && token.front() == '$') {
    if (const auto index = small_number(token.substr(1)); index.has_value()) {
      if (*index < 1 || *index > wildcards.size()) {
        return mapping_error("wildcard index out of range", token);
      }
      return Part{Kind::kWildcard, {}, {wildcards[*index - 1]}, 0};
    }
  }
  if (token.starts_with("{{") && token.ends_with("}}")) {
    return compile_function(token, wildcards);
  }
  if (!subject_problem(token).empty() || has_wildcard(token)) {
    return invalid_argument("invalid mapping destination");
  }
  return Part{Kind::kLiteral, std::string(token), {}, 0};
}

/// {{name(argument, ...)}}
Result<SubjectTransform::Part> SubjectTransform::compile_function(
    std::string_view token, const std::vector<std::size_t>& wildcards) {
  const std::string_view inside = trimmed(token.substr(2, token.size() - 4));
  const std::size_t open = inside.find('(');
  std::string name(trimmed(inside.substr(0, open)));
  std::ranges::transform(name, name.begin(), [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  struct Function {
    std::string_view name;
    Kind kind;
    std::size_t arguments;
  };
  static constexpr Function kFunctions[] = {{"wildcard", Kind::kWildcard, 1},
                                            {"partition", Kind::kPartition, 0},  // at least one
                                            {"splitfromleft", Kind::kSplitFromLeft, 2},
                                            {"splitfromright", Kind::kSplitFromRight, 2},
                                            {"slicefromleft", Kind::kSliceFromLeft, 2},
                                            {"slicefromright", Kind::kSliceFromRight, 2},
                                            {"split", Kind::kSplit, 2}};
  const auto* const function = std::ranges::find(kFunctions, name, &Function::name);
  if (open == std::string_view::npos || !inside.ends_with(')') ||
      function == std::end(kFunctions)) {
    return mapping_error("unknown function", token);
  }
  std::vector<std::string_view> arguments;
  std::string_view rest = inside.substr(open + 1, inside.size() - open - 2);
  while (!trimmed(rest).empty()) {
    const std::size_t comma = rest.find(',');
    arguments.push_back(trimmed(rest.substr(0, comma)));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  const std::size_t wanted = function->arguments == 0 ? 1 : function->arguments;
  if (arguments.size() < wanted) {
    return mapping_error("not enough arguments passed to the function", token);
  }
  if (function->arguments != 0 && arguments.size() > wanted) {
    return mapping_error("too many arguments passed to the function", token);
  }
  Part part;
  part.kind = function->kind;
  const bool partition = part.kind == Kind::kPartition;
  // Of partition all but the first argument are tokens, of the others the first one is.
  const std::size_t number_at = partition ? 0 : 1;
  if (part.kind == Kind::kSplit) {
    part.text = arguments[1];
    if (part.text.empty() || part.text.find_first_of(" .*>") != std::string::npos) {
      return mapping_error("function argument is invalid or in the wrong format", token);
    }
  } else if (part.kind != Kind::kWildcard) {
    const auto number = small_number(arguments[number_at]);
    if (!number.has_value() || *number == 0) {
      return mapping_error("function argument is invalid or in the wrong format", token);
    }
    part.number = *number;
  }
  for (std::size_t i = partition ? 1 : 0; i < (partition ? arguments.size() : 1); ++i) {
    const auto index = small_number(arguments[i]);
    if (!index.has_value()) {
      return mapping_error("function argument is invalid or in the wrong format", token);
    }
    if (*index < 1 || *index > wildcards.size()) {
      return mapping_error("wildcard index out of range", token);
    }
    part.tokens.push_back(wildcards[*index - 1]);
  }
  return part;
}

bool SubjectTransform::apply(std::string_view subject, std::string& out) const {
  if (!subject_matches(source_, subject)) {
    return false;
  }
  const auto tokens = tokens_of(subject);
  out.clear();
  for (const Part& part : parts_) {
    if (!out.empty()) {
      out += '.';
    }
    if (part.kind == Kind::kRest) {
      out += std::string_view(tokens[source_tokens_].data(),
                              static_cast<std::size_t>(subject.data() + subject.size() -
                                                       tokens[source_tokens_].data()));
    } else {
      append(part, tokens, out);
    }
  }
  return !may_fail_ || subject_problem(out).empty();
}

void SubjectTransform::append(const Part& part,
                              const std::vector<std::string_view>& tokens,
                              std::string& out) {
  const std::string_view token = part.tokens.empty() ? std::string_view() : tokens[part.tokens[0]];
  const std::size_t size = part.number;
  switch (part.kind) {
    case Kind::kLiteral:
      out += part.text;
      break;
    case Kind::kPartition: {
      std::uint32_t hash = 2166136261U;
      for (const std::size_t i : part.tokens) {
        hash = fnv1a(hash, tokens[i]);
      }
      out += std::to_string(hash % size);
      break;
    }
    case Kind::kSplitFromLeft:
      append_slices(token, size, std::max<std::size_t>(1, token.size()), out);
      break;
    case Kind::kSplitFromRight:
      append_slices(token, size < token.size() ? token.size() - size : 0, token.size(), out);
      break;
    case Kind::kSliceFromLeft:
      append_slices(token, 0, size, out);
      break;
    case Kind::kSliceFromRight:
      append_slices(token, token.size() % size, size, out);
      break;
    case Kind::kSplit:
      append_split(token, part.text, out);
      break;
    case Kind::kWildcard:
    case Kind::kRest:
      out += token;
      break;
  }
}

}  // namespace feedvault::broker::streams
