#include "proto/message_check.h"

#include <cstdint>
#include <cstring>
#include <string>

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

namespace feedvault {

namespace pb = google::protobuf;
using pb::FieldDescriptor;

struct MessageCheck::FieldPlan {
  const FieldDescriptor* field = nullptr;
  const TypePlan* nested = nullptr;  // of a message field
};

struct MessageCheck::TypePlan {
  std::vector<FieldPlan> fields;
  bool has_enums = false;  // unknown fields need a look
};

struct MessageCheck::Problem {
  std::string what;   // "is not UTF-8"
  std::string field;  // path: "legs.symbol"

  void inside(const FieldDescriptor& outer) {
    field = field.empty() ? outer.name() : outer.name() + "." + field;
  }
};

namespace {

// Index behind the last byte of a run of ASCII that starts at `i`, eight bytes a step.
std::size_t skip_ascii(std::string_view text, std::size_t i) {
  while (i + 8 <= text.size()) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + i, 8);
    if ((word & 0x8080808080808080ULL) != 0) {
      break;
    }
    i += 8;
  }
  while (i < text.size() && static_cast<unsigned char>(text[i]) < 0x80) {
    ++i;
  }
  return i;
}

bool enum_has(const pb::EnumDescriptor& type, int number) {
  return type.FindValueByNumber(number) != nullptr;
}

std::string unknown_number(std::int64_t number, const pb::EnumDescriptor& type) {
  return fmt::format("unknown number {} for enum {}", number, type.name());
}

}  // namespace

bool is_utf8(std::string_view text) {
  std::size_t i = skip_ascii(text, 0);
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    // Bytes that follow, and the bounds of the first of them: they alone rule out overlong forms
    // (E0, F0), surrogates (ED) and what lies past U+10FFFF (F4).
    std::size_t following = 0;
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
      following = 1;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      following = 2;
      low = lead == 0xE0 ? 0xA0 : low;
      high = lead == 0xED ? 0x9F : high;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      following = 3;
      low = lead == 0xF0 ? 0x90 : low;
      high = lead == 0xF4 ? 0x8F : high;
    } else {
      return false;
    }
    if (following >= text.size() - i) {
      return false;
    }
    for (std::size_t k = 1; k <= following; ++k) {
      const auto byte = static_cast<unsigned char>(text[i + k]);
      if (byte < low || byte > high) {
        return false;
      }
      low = 0x80;
      high = 0xBF;
    }
    i = skip_ascii(text, i + following + 1);
  }
  return true;
}

MessageCheck::MessageCheck(const pb::Descriptor& type) : root_(plan_for(type)) {}
MessageCheck::~MessageCheck() = default;

const MessageCheck::TypePlan* MessageCheck::plan_for(const pb::Descriptor& type) {
  auto& slot = plans_[&type];
  if (slot != nullptr) {
    return slot.get();  // known, or being made further out: types may contain themselves
  }
  slot = std::make_unique<TypePlan>();
  TypePlan* plan = slot.get();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      plan->fields.push_back({field, plan_for(*field->message_type())});
      // A map entry whose enum value is unknown becomes an unknown field of the map's owner.
      plan->has_enums = plan->has_enums || field->is_map();
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
      plan->fields.push_back({field, nullptr});
      plan->has_enums = true;
    } else if (field->type() == FieldDescriptor::TYPE_STRING) {
      plan->fields.push_back({field, nullptr});
    }
  }
  return plan;
}

bool MessageCheck::find_unknown_enum(const pb::Message& message, Problem& problem) {
  const pb::UnknownFieldSet& unknown = message.GetReflection()->GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count(); ++i) {
    const pb::UnknownField& raw = unknown.field(i);
    const FieldDescriptor* field = message.GetDescriptor()->FindFieldByNumber(raw.number());
    if (field == nullptr) {
      continue;  // a field that a newer producer added
    }
    const FieldDescriptor* value = field->is_map() ? field->message_type()->map_value() : field;
    if (value->cpp_type() != FieldDescriptor::CPPTYPE_ENUM) {
      continue;
    }
    if (field->is_map()) {
      problem.what = fmt::format("unknown number for enum {}", value->enum_type()->name());
    } else if (raw.type() == pb::UnknownField::TYPE_VARINT) {
      problem.what = unknown_number(static_cast<std::int64_t>(raw.varint()), *value->enum_type());
    } else {
      continue;  // the number of an enum field with another wire type
    }
    problem.inside(*field);
    return true;
  }
  return false;
}

bool MessageCheck::find_problem_in_field(const pb::Message& message,
                                         const FieldPlan& plan,
                                         int index,
                                         Problem& problem) {
  const pb::Reflection& reflection = *message.GetReflection();
  const FieldDescriptor* field = plan.field;
  const bool repeated = index >= 0;
  if (plan.nested != nullptr) {
    const pb::Message& nested = repeated ? reflection.GetRepeatedMessage(message, field, index)
                                         : reflection.GetMessage(message, field);
    if (!find_problem(nested, *plan.nested, problem)) {
      return false;
    }
  } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
    // Open enums (proto3) keep every number in the field itself.
    const int number = repeated ? reflection.GetRepeatedEnumValue(message, field, index)
                                : reflection.GetEnumValue(message, field);
    if (enum_has(*field->enum_type(), number)) {
      return false;
    }
    problem.what = unknown_number(number, *field->enum_type());
  } else {
    std::string scratch;
    const std::string& text =
        repeated ? reflection.GetRepeatedStringReference(message, field, index, &scratch)
                 : reflection.GetStringReference(message, field, &scratch);
    if (is_utf8(text)) {
      return false;
    }
    problem.what = "text that is not UTF-8";
  }
  problem.inside(*field);
  return true;
}

bool MessageCheck::find_problem(const pb::Message& message,
                                const TypePlan& plan,
                                Problem& problem) {
  if (plan.has_enums && find_unknown_enum(message, problem)) {
    return true;
  }
  const pb::Reflection& reflection = *message.GetReflection();
  for (const FieldPlan& field_plan : plan.fields) {
    if (!field_plan.field->is_repeated()) {
      if (reflection.HasField(message, field_plan.field) &&
          find_problem_in_field(message, field_plan, -1, problem)) {
        return true;
      }
      continue;
    }
    const int size = reflection.FieldSize(message, field_plan.field);
    for (int i = 0; i < size; ++i) {
      if (find_problem_in_field(message, field_plan, i, problem)) {
        return true;
      }
    }
  }
  return false;
}

Status MessageCheck::check(const pb::Message& message) const {
  Problem problem;
  // Before the required fields: a required enum with an unknown number also counts as missing.
  if (find_problem(message, *root_, problem)) {
    return {StatusCode::kCorruption, fmt::format("{} in field {}", problem.what, problem.field)};
  }
  if (!message.IsInitialized()) {
    std::vector<std::string> missing;
    message.FindInitializationErrors(&missing);
    return {StatusCode::kCorruption,
            fmt::format("missing required field{} {}",
                        missing.size() == 1 ? "" : "s",
                        fmt::join(missing, ", "))};
  }
  return {};
}

}  // namespace feedvault
