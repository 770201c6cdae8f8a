#pragma once

namespace feedvault::testing {

/// Whether this is built with a sanitizer that makes everything several times slower: tests that
/// do one thing many times do it less often then.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
inline constexpr bool kSanitized =
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace feedvault::testing
