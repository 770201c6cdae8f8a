#include "proto/json_printer.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <string_view>

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

namespace feedvault {

namespace pb = google::protobuf;
using pb::FieldDescriptor;

struct JsonPrinter::FieldPlan {
  const FieldDescriptor* field = nullptr;
  std::string key;                   // "\"matchTitle\":"
  const TypePlan* nested = nullptr;  // of a message field
};

struct JsonPrinter::TypePlan {
  std::vector<FieldPlan> fields;
};

namespace {

void append_escaped(char c, std::string& json) {
  switch (c) {
    case '"':
      json += "\\\"";
      break;
    case '\\':
      json += "\\\\";
      break;
    case '\n':
      json += "\\n";
      break;
    case '\r':
      json += "\\r";
      break;
    case '\t':
      json += "\\t";
      break;
    default:
      fmt::format_to(std::back_inserter(json), "\\u{:04x}", static_cast<unsigned char>(c));
  }
}

void append_text(std::string_view text, std::string& json) {
  json += '"';
  std::size_t copied = 0;  // runs without anything to escape go over as a whole
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\' && c != '\x7f') {
      continue;
    }
    json.append(text, copied, i - copied);
    append_escaped(c, json);
    copied = i + 1;
  }
  json.append(text, copied, std::string_view::npos);
  json += '"';
}

void append_base64(std::string_view bytes, std::string& json) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  json += '"';
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8U | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      json += k <= count ? kDigits[group >> (18 - 6 * k) & 63U] : '=';
    }
  }
  json += '"';
}

// The shortest text that reads back as the same number.
template <typename Number>
void append_real(Number number, std::string& json) {
  if (std::isnan(number)) {
    json += "\"NaN\"";
  } else if (std::isinf(number)) {
    json += number > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  } else {
    fmt::format_to(std::back_inserter(json), "{}", number);
  }
}

void append_integer(std::int64_t number, std::string& json) {
  const fmt::format_int digits(number);
  json.append(digits.data(), digits.size());
}

// 64-bit integers are texts in JSON: a double could not hold them.
template <typename Integer>
void append_quoted(Integer number, std::string& json) {
  const fmt::format_int digits(number);
  json += '"';
  json.append(digits.data(), digits.size());
  json += '"';
}

void append_enum(const pb::EnumDescriptor& type, int number, std::string& json) {
  const pb::EnumValueDescriptor* value = type.FindValueByNumber(number);
  if (value == nullptr) {
    append_integer(number, json);
  } else if (type.full_name() == "google.protobuf.NullValue") {
    json += "null";
  } else {
    append_text(value->name(), json);
  }
}

}  // namespace

JsonPrinter::JsonPrinter(const pb::Descriptor& type) : root_(plan_for(type)) {}
JsonPrinter::~JsonPrinter() = default;

const JsonPrinter::TypePlan* JsonPrinter::plan_for(const pb::Descriptor& type) {
  auto& slot = plans_[&type];
  if (slot != nullptr) {
    return slot.get();  // known, or being made further out: types may contain themselves
  }
  slot = std::make_unique<TypePlan>();
  TypePlan* plan = slot.get();
  can_print_ = can_print_ && type.full_name().rfind("google.protobuf.", 0) != 0;
  std::vector<const FieldDescriptor*> fields;
  fields.reserve(static_cast<std::size_t>(type.field_count()));
  for (int i = 0; i < type.field_count(); ++i) {
    fields.push_back(type.field(i));
  }
  std::sort(fields.begin(), fields.end(), [](const auto* a, const auto* b) {
    return a->number() < b->number();
  });
  for (const FieldDescriptor* field : fields) {
    FieldPlan field_plan;
    field_plan.field = field;
    append_text(field->json_name(), field_plan.key);
    field_plan.key += ':';
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      field_plan.nested = plan_for(*field->message_type());
    }
    plan->fields.push_back(std::move(field_plan));
  }
  return plan;
}

void JsonPrinter::print(const pb::Message& message, std::string& json) const {
  print_message(message, *root_, json);
}

void JsonPrinter::print_message(const pb::Message& message,
                                const TypePlan& plan,
                                std::string& json) {
  const pb::Reflection& reflection = *message.GetReflection();
  json += '{';
  bool first = true;
  for (const FieldPlan& field_plan : plan.fields) {
    const bool present = field_plan.field->is_repeated()
                             ? reflection.FieldSize(message, field_plan.field) > 0
                             : reflection.HasField(message, field_plan.field);
    if (!present) {
      continue;
    }
    if (!first) {
      json += ',';
    }
    first = false;
    json += field_plan.key;
    print_field(message, field_plan, json);
  }
  json += '}';
}

void JsonPrinter::print_field(const pb::Message& message,
                              const FieldPlan& plan,
                              std::string& json) {
  if (plan.field->is_map()) {
    print_map(message, plan, json);
    return;
  }
  if (!plan.field->is_repeated()) {
    print_value(message, plan, -1, json);
    return;
  }
  const int size = message.GetReflection()->FieldSize(message, plan.field);
  json += '[';
  for (int i = 0; i < size; ++i) {
    if (i > 0) {
      json += ',';
    }
    print_value(message, plan, i, json);
  }
  json += ']';
}

void JsonPrinter::print_map(const pb::Message& message, const FieldPlan& plan, std::string& json) {
  const pb::Reflection& reflection = *message.GetReflection();
  const FieldPlan& key = plan.nested->fields[0];
  const FieldPlan& value = plan.nested->fields[1];
  const int size = reflection.FieldSize(message, plan.field);
  json += '{';
  for (int i = 0; i < size; ++i) {
    if (i > 0) {
      json += ',';
    }
    const pb::Message& entry = reflection.GetRepeatedMessage(message, plan.field, i);
    const std::size_t start = json.size();
    print_value(entry, key, -1, json);
    if (json[start] != '"') {  // keys are texts, whatever they are in the message
      json.insert(start, 1, '"');
      json += '"';
    }
    json += ':';
    print_value(entry, value, -1, json);
  }
  json += '}';
}

void JsonPrinter::print_value(const pb::Message& message,
                              const FieldPlan& plan,
                              int index,
                              std::string& json) {
  const pb::Reflection& r = *message.GetReflection();
  const FieldDescriptor* f = plan.field;
  const bool repeated = index >= 0;
  switch (f->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      append_integer(repeated ? r.GetRepeatedInt32(message, f, index) : r.GetInt32(message, f),
                     json);
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      append_integer(repeated ? r.GetRepeatedUInt32(message, f, index) : r.GetUInt32(message, f),
                     json);
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      append_quoted(repeated ? r.GetRepeatedInt64(message, f, index) : r.GetInt64(message, f),
                    json);
      break;
    case FieldDescriptor::CPPTYPE_UINT64:
      append_quoted(repeated ? r.GetRepeatedUInt64(message, f, index) : r.GetUInt64(message, f),
                    json);
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      append_real(repeated ? r.GetRepeatedDouble(message, f, index) : r.GetDouble(message, f),
                  json);
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      append_real(repeated ? r.GetRepeatedFloat(message, f, index) : r.GetFloat(message, f), json);
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      json += (repeated ? r.GetRepeatedBool(message, f, index) : r.GetBool(message, f)) ? "true"
                                                                                        : "false";
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      append_enum(*f->enum_type(),
                  repeated ? r.GetRepeatedEnumValue(message, f, index) : r.GetEnumValue(message, f),
                  json);
      break;
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch;
      const std::string& text = repeated ? r.GetRepeatedStringReference(message, f, index, &scratch)
                                         : r.GetStringReference(message, f, &scratch);
      f->type() == FieldDescriptor::TYPE_BYTES ? append_base64(text, json)
                                               : append_text(text, json);
      break;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      print_message(repeated ? r.GetRepeatedMessage(message, f, index) : r.GetMessage(message, f),
                    *plan.nested,
                    json);
      break;
  }
}

}  // namespace feedvault
