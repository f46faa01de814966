/* Includes EACH_DTYPE, the family's own file, for floats and for doubles: REAL is the dtype, K(name) what it names. */
#define REAL float
#define REAL_BYTES 4
#define K(name) name##_f32
#include EACH_DTYPE
#undef REAL
#undef REAL_BYTES
#undef K
#define REAL double
#define REAL_BYTES 8
#define K(name) name##_f64
#include EACH_DTYPE
