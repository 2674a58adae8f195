#pragma once

#include "vicinal/index/spec.hpp"
#include "vicinal/index/spec_tokens.hpp"

// The stages of documents of several vectors.
namespace vicinal {

void parse_pool(Arguments& arguments, Spec& spec);
void parse_head(Arguments& arguments, Spec& spec);
void parse_scan(Arguments& arguments, Spec& spec);
void parse_muvera(Arguments& arguments, Spec& spec);
void parse_maxsim(Arguments& arguments, Spec& spec);

}  // namespace vicinal
