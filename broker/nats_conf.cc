#include "broker/nats_conf.h"

#include <charconv>
#include <cstring>
#include <limits>
#include <unordered_map>

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/file.h"

namespace feedvault::broker {
namespace {

constexpr char kEnd = '\0';  // never inside: zero bytes are refused first

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}
bool is_newline(char c) {
  return c == '\n' || c == '\r';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool same_key(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) {
    return false;
  }
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (ascii_lower(a[i]) != ascii_lower(b[i])) {
      return false;
    }
  }
  return true;
}

/// 0 when it is not a suffix of sizes.
std::int64_t suffix_factor(std::string_view suffix) {
  if (suffix.empty()) {
    return 1;
  }
  constexpr std::string_view kLetters = "kmgtpe";
  const std::string text = ascii_lower(suffix);
  const std::size_t power = kLetters.find(text[0]);
  const std::string_view rest = std::string_view(text).substr(1);
  if (power == std::string_view::npos ||
      (!rest.empty() && rest != "b" && rest != "i" && rest != "ib")) {
    return 0;
  }
  std::int64_t factor = 1;
  for (std::size_t i = 0; i <= power; ++i) {
    factor *= rest.empty() ? 1000 : 1024;
  }
  return factor;
}

/// What a whole configuration shares: its files, and the bounds that hold for all of them together.
struct Session {
  const char* const* environment = nullptr;
  int includes = 0;
  std::size_t expanded_bytes = 0;
};

/// Keys of one map that is being read, so that finding one does not take a walk over all.
struct Scope {
  ConfValue* map = nullptr;
  std::unordered_map<std::string, std::size_t> index;
  const Scope* outer = nullptr;
};

std::size_t cost_of(const ConfValue& value) {
  std::size_t cost = sizeof(ConfValue) + value.text.size();
  for (const ConfValue& item : value.items) {
    cost += cost_of(item);
  }
  for (const ConfValue& entry : value.entries) {
    cost += entry.key.size() + cost_of(entry);
  }
  return cost;
}

void move_to(ConfValue& value, const std::shared_ptr<const std::string>& file, int line) {
  value.file = file;
  value.line = line;
}

/// One file, by recursive descent.
class Parser {
 public:
  Parser(Session& session, std::string_view text, std::string path, int depth)
      : session_(session),
        text_(text),
        file_(std::make_shared<const std::string>(std::move(path))),
        depth_(depth) {}

  /// Reads all entries into `scope.map`.
  Status read_file_into(Scope& scope) {
    if (text_.substr(0, 3) == "\xef\xbb\xbf") {
      at_ += 3;  // byte order mark
    }
    if (const std::size_t zero = text_.find('\0'); zero != std::string_view::npos) {
      return fail("a zero byte at offset {}: this is not a configuration file", zero);
    }
    skip_between();
    const bool braces = peek() == '{';
    if (braces) {
      take();  // a JSON document: the braces around it mean nothing
    }
    RETURN_IF_ERROR(read_entries(scope, braces));
    skip_between();
    if (peek() != kEnd) {
      return fail("'{}' behind the end of the configuration; remove it", peek());
    }
    return {};
  }

  /// Reads `text_` as one value.
  Status read_lone_value(ConfValue& value) {
    Scope scope;
    ConfValue map;
    scope.map = &map;
    skip_blanks();
    RETURN_IF_ERROR(read_value(scope, value));
    skip_between();
    return peek() == kEnd ? Status() : fail("text behind the value; put quotes around it");
  }

 private:
  template <typename... Args>
  Status fail_at(int line, fmt::format_string<Args...> format, Args&&... args) const {
    return invalid_argument(
        fmt::format("{}:{}: {}", *file_, line, fmt::format(format, std::forward<Args>(args)...)));
  }
  template <typename... Args>
  Status fail(fmt::format_string<Args...> format, Args&&... args) const {
    return fail_at(line_, format, std::forward<Args>(args)...);
  }

  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : kEnd;
  }
  void take() {
    if (peek() == '\n') {
      ++line_;
    }
    ++at_;
  }
  bool at_comment() const { return peek() == '#' || (peek() == '/' && peek(1) == '/'); }
  void skip_comment() {
    while (peek() != kEnd && peek() != '\n') {
      take();
    }
  }
  void skip_blanks() {
    while (is_blank(peek())) {
      take();
    }
  }
  void skip_lines() {
    while (is_blank(peek()) || is_newline(peek()) || at_comment()) {
      at_comment() ? skip_comment() : take();
    }
  }
  // Between entries and between elements: separators are optional and may repeat.
  void skip_between() {
    do {
      skip_lines();
    } while ((peek() == ',' || peek() == ';') && (take(), true));
  }

  Status read_entries(Scope& scope, bool closed) {
    const int opened = line_;
    for (;;) {
      skip_between();
      if (peek() == '}') {
        if (!closed) {
          return fail("'}}' without a '{{' before it; remove one or add the other");
        }
        take();
        return {};
      }
      if (peek() == kEnd) {
        return closed ? fail("the '{{' of line {} is not closed; add '}}'", opened) : Status();
      }
      RETURN_IF_ERROR(read_entry(scope));
    }
  }

  Status read_key(std::string& key, bool& bare) {
    const char quote = peek();
    bare = quote != '"' && quote != '\'';
    if (bare) {
      while (peek() != kEnd && !is_blank(peek()) && !is_newline(peek()) && peek() != ':' &&
             peek() != '=' && peek() != '{' && peek() != '}') {
        key += peek();
        take();
      }
    } else {
      take();
      while (peek() != quote) {
        if (peek() == kEnd || is_newline(peek())) {
          return fail("a key's quote is not closed on its line; add {}", quote);
        }
        key += peek();
        take();
      }
      take();
    }
    return key.empty() ? fail("'{}' where a key should be", peek()) : Status();
  }

  // Puts the cursor on the first character of the value behind `key`.
  Status find_value(const std::string& key) {
    skip_blanks();
    const int line = line_;
    skip_lines();
    if (peek() == ':' || peek() == '=') {
      take();
      skip_blanks();
      skip_lines();
    }
    // A value on a later line must show that it is one: else the next key would be taken for it.
    const bool moved = line_ != line;
    const char c = peek();
    if (c == kEnd || c == '}' || c == ',' || c == ';' || c == ']' ||
        (moved && c != '{' && c != '[' && c != '(' && c != '"' && c != '\'')) {
      return fail_at(line, "{}: no value; write one on the same line, or remove the key", key);
    }
    return {};
  }

  Status read_entry(Scope& scope) {
    std::string key;
    bool bare = false;
    const int line = line_;
    RETURN_IF_ERROR(read_key(key, bare));
    if (bare && ascii_lower(key) == "include" && is_blank(peek())) {
      skip_blanks();
      if (peek() != ':' && peek() != '=' && peek() != '{') {
        return read_include(scope, line);
      }
    }
    RETURN_IF_ERROR(find_value(key));
    ConfValue value;
    if (Status bad = read_value(scope, value); !bad.ok()) {
      return bad;
    }
    // The key's line, which people look for, rather than that of a long value's end.
    move_to(value, file_, line);
    store(scope, std::move(key), std::move(value));
    skip_blanks();
    const char c = peek();
    if (c == kEnd || is_newline(c) || c == ',' || c == ';' || c == '}' || at_comment()) {
      return {};
    }
    return fail("text behind the value of this line; put quotes around values with blanks");
  }

  static void store(Scope& scope, std::string key, ConfValue value) {
    const auto [place, fresh] = scope.index.try_emplace(key, scope.map->entries.size());
    value.key = std::move(key);
    if (fresh) {
      scope.map->entries.push_back(std::move(value));
    } else {
      scope.map->entries[place->second] = std::move(value);  // the last one counts
    }
  }

  Status read_value(Scope& scope, ConfValue& value) {
    move_to(value, file_, line_);
    switch (peek()) {
      case '{':
        return read_map(scope, value);
      case '[':
        return read_array(scope, value);
      case '"':
        return read_double_quoted(value);
      case '\'':
        return read_single_quoted(value);
      case '(':
        return read_block(value);
      default:
        return read_bare(scope, value);
    }
  }

  Status descend() {
    return ++depth_ <= kConfDepthMax
               ? Status()
               : fail("nested deeper than {} levels; flatten it", kConfDepthMax);
  }

  Status read_map(const Scope& outer, ConfValue& value) {
    value.kind = ConfValue::Kind::kMap;
    RETURN_IF_ERROR(descend());
    take();
    Scope scope;
    scope.map = &value;
    scope.outer = &outer;
    RETURN_IF_ERROR(read_entries(scope, /*closed=*/true));
    --depth_;
    return {};
  }

  Status read_array(Scope& scope, ConfValue& value) {
    value.kind = ConfValue::Kind::kArray;
    const int opened = line_;
    RETURN_IF_ERROR(descend());
    take();
    for (;;) {
      skip_between();
      if (peek() == ']') {
        take();
        --depth_;
        return {};
      }
      if (peek() == kEnd || peek() == '}') {
        return fail("the '[' of line {} is not closed; add ']'", opened);
      }
      ConfValue item;
      RETURN_IF_ERROR(read_value(scope, item));
      value.items.push_back(std::move(item));
      skip_blanks();
      const char c = peek();
      if (c != ',' && c != ']' && c != ';' && c != kEnd && !is_newline(c) && !at_comment()) {
        return fail("text behind an element of the list; separate elements with ','");
      }
    }
  }

  Status read_escape(std::string& into) {
    take();  // the backslash
    const char c = peek();
    switch (c) {
      case 't':
        into += '\t';
        break;
      case 'n':
        into += '\n';
        break;
      case 'r':
        into += '\r';
        break;
      case '"':
      case '\\':
        into += c;
        break;
      case 'x': {
        const char digits[2] = {peek(1), peek(2)};
        unsigned byte = 0;
        const auto [end, error] = std::from_chars(digits, digits + 2, byte, 16);
        if (error != std::errc() || end != digits + 2) {
          return fail("\\x without two hexadecimal digits behind it");
        }
        into += static_cast<char>(byte);
        take();
        take();
        break;
      }
      default:
        return fail("\\{} is no escape; there are \\xXX \\t \\n \\r \\\" and \\\\", c);
    }
    take();
    return {};
  }

  Status read_double_quoted(ConfValue& value) {
    const int opened = line_;
    take();
    while (peek() != '"') {
      if (peek() == kEnd) {
        return fail_at(opened, "a string's quote is not closed; add \"");
      }
      if (peek() == '\\') {
        RETURN_IF_ERROR(read_escape(value.text));
      } else {
        value.text += peek();
        take();
      }
    }
    take();
    return {};
  }

  Status read_single_quoted(ConfValue& value) {
    const int opened = line_;
    take();
    while (peek() != '\'') {
      if (peek() == kEnd) {
        return fail_at(opened, "a string's quote is not closed; add '");
      }
      value.text += peek();
      take();
    }
    take();
    return {};
  }

  // ( some lines
  // ) the second one stands alone on its line
  Status read_block(ConfValue& value) {
    const int opened = line_;
    take();
    while (peek() != kEnd) {
      const bool line_start = !value.text.empty() && value.text.back() == '\n';
      if (peek() == ')' && line_start && (peek(1) == kEnd || is_newline(peek(1)))) {
        take();
        return {};
      }
      value.text += peek();
      take();
    }
    return fail_at(opened, "a block is not closed; add ')' on a line of its own");
  }

  Status read_bare(Scope& scope, ConfValue& value) {
    bool escaped = false;
    for (char c = peek(); c != kEnd && !is_blank(c) && !is_newline(c) && c != ',' && c != ';' &&
                          c != ']' && c != '}';
         c = peek()) {
      if (c == '\\') {
        escaped = true;
        RETURN_IF_ERROR(read_escape(value.text));
      } else {
        value.text += c;
        take();
      }
    }
    if (value.text.empty() && !escaped) {
      return fail("'{}' where a value should be", peek());
    }
    return escaped ? Status() : classify(scope, value);
  }

  // A bare word: what is it?
  Status classify(Scope& scope, ConfValue& value) {
    const std::string& text = value.text;
    if (text[0] == '$') {
      // A bcrypt hash needs no quotes: no variable's name looks like that.
      const bool bcrypt = text.size() > 4 && text[1] == '2' && text[3] == '$';
      return bcrypt ? Status() : expand(scope, value);
    }
    const std::string word = ascii_lower(text);
    if (word == "true" || word == "yes" || word == "on" || word == "false" || word == "no" ||
        word == "off") {
      value.kind = ConfValue::Kind::kBool;
      value.boolean = word == "true" || word == "yes" || word == "on";
      return {};
    }
    return classify_number(value);
  }

  Status classify_number(ConfValue& value) {
    const std::string_view text = value.text;
    const std::size_t sign = text[0] == '-' ? 1 : 0;
    std::size_t digits = sign;
    while (digits < text.size() && is_digit(text[digits])) {
      ++digits;
    }
    if (digits == sign) {
      return {};
    }
    if (const std::int64_t factor = suffix_factor(text.substr(digits)); factor > 0) {
      std::int64_t number = 0;
      const auto parsed = std::from_chars(text.data(), text.data() + digits, number);
      if (parsed.ec != std::errc() || __builtin_mul_overflow(number, factor, &value.integer)) {
        return fail("{} does not fit 64 bits", text);
      }
      value.kind = ConfValue::Kind::kInteger;
      value.number = static_cast<double>(value.integer);
      return {};
    }
    double number = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
    if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() &&
        text.find_first_not_of("-.0123456789") == std::string_view::npos) {
      value.kind = ConfValue::Kind::kFloat;
      value.number = number;
    }
    return {};  // an address, a date, a word that begins with a digit: a string
  }

  Status expand(const Scope& scope, ConfValue& value) {
    const std::string name = value.text.substr(1);
    const int line = value.line;
    for (const Scope* at = &scope; at != nullptr; at = at->outer) {
      const auto found = at->index.find(name);
      if (found == at->index.end()) {
        continue;
      }
      ConfValue& target = at->map->entries[found->second];
      target.variable = true;
      session_.expanded_bytes += cost_of(target);
      if (session_.expanded_bytes > kConfExpandedBytesMax) {
        return fail("variables expand to more than {} bytes", kConfExpandedBytesMax);
      }
      value = target;
      value.variable = false;
      move_to(value, file_, line);
      return {};
    }
    for (const char* const* at = session_.environment; at != nullptr && *at != nullptr; ++at) {
      if (std::strncmp(*at, name.c_str(), name.size()) == 0 && (*at)[name.size()] == '=') {
        return expand_environment(name, *at + name.size() + 1, value);
      }
    }
    return fail("${} is neither a key above nor in the environment; define it", name);
  }

  // The variable's text is read as if it stood here: it may be a number, or a list.
  Status expand_environment(const std::string& name, const char* text, ConfValue& value) {
    RETURN_IF_ERROR(descend());  // $A could be "$A"
    const int line = value.line;
    Parser parser(session_, text, *file_, depth_);
    ConfValue read;
    if (text[0] == '\0' || !parser.read_lone_value(read).ok()) {
      // Not its contents: it may be a password.
      return fail("${}: the environment variable's value is not a valid value; quote it", name);
    }
    value = std::move(read);
    move_to(value, file_, line);
    --depth_;
    return {};
  }

  Status read_include(Scope& scope, int line) {
    ConfValue name;
    RETURN_IF_ERROR(read_value(scope, name));
    if (name.kind != ConfValue::Kind::kString || name.text.empty()) {
      return fail_at(line, "include: not a file name; write include \"other.conf\"");
    }
    RETURN_IF_ERROR(descend());
    if (++session_.includes > kConfIncludesMax) {
      return fail_at(line, "include: more than {} files", kConfIncludesMax);
    }
    std::string path = name.text;
    if (const std::size_t slash = file_->rfind('/'); path[0] != '/' && slash != std::string::npos) {
      path = file_->substr(0, slash + 1) + path;
    }
    auto text = read_file(path, kConfBytesMax);
    if (!text) {
      return fail_at(line, "include: {}", text.error().message());
    }
    Parser parser(session_, *text, path, depth_);
    RETURN_IF_ERROR(parser.read_file_into(scope));
    --depth_;
    return {};
  }

  Session& session_;
  std::string_view text_;
  std::shared_ptr<const std::string> file_;
  int depth_;
  std::size_t at_ = 0;
  int line_ = 1;
};

}  // namespace

std::string ConfValue::place() const {
  if (file == nullptr) {
    return "";
  }
  return line > 0 ? fmt::format("{}:{}: ", *file, line) : *file + ": ";
}

const ConfValue* ConfValue::find(std::string_view name) const {
  const ConfValue* found = nullptr;
  for (const ConfValue& entry : entries) {
    if (same_key(entry.key, name)) {
      found = &entry;
    }
  }
  return found;
}

Result<ConfValue> parse_nats_conf(std::string_view text,
                                  const std::string& path,
                                  const char* const* environment) {
  if (text.size() > kConfBytesMax) {
    return invalid_argument(
        fmt::format("{}: larger than {} bytes; that is no configuration", path, kConfBytesMax));
  }
  Session session;
  session.environment = environment;
  ConfValue root;
  root.kind = ConfValue::Kind::kMap;
  root.file = std::make_shared<const std::string>(path);
  Scope scope;
  scope.map = &root;
  RETURN_IF_ERROR(Parser(session, text, path, 0).read_file_into(scope));
  return root;
}

Result<ConfValue> load_nats_conf(const std::string& path, const char* const* environment) {
  ASSIGN_OR_RETURN(const std::string text, read_file(path, kConfBytesMax));
  return parse_nats_conf(text, path, environment);
}

Result<ConfValue> parse_nats_conf_value(std::string_view text, const std::string& source) {
  Session session;
  ConfValue value;
  const std::size_t zero = text.find('\0');
  if (text.empty() || zero != std::string_view::npos) {
    return invalid_argument(source + ": empty, or with a zero byte; give it a value");
  }
  RETURN_IF_ERROR(Parser(session, text, source, 0).read_lone_value(value));
  value.line = 0;
  return value;
}

}  // namespace feedvault::broker
