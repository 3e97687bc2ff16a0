// Strings without a C library.

#pragma once

// gcc makes calls to these of initialisers and loops, library or no library.
void *memset(void *to, int byte, unsigned long n)
{
	char *p = to;

	while (n--)
		*p++ = byte;
	return to;
}

void *memcpy(void *to, const void *from, unsigned long n)
{
	char *p = to;
	const char *q = from;

	while (n--)
		*p++ = *q++;
	return to;
}

// The rest of `s` after `prefix`, or null if it begins otherwise.
static inline char *after(char *s, const char *prefix)
{
	while (*prefix)
		if (*s++ != *prefix++)
			return 0;
	return s;
}

static inline char *append(char *end, const char *s)
{
	while (*s)
		*end++ = *s++;
	return end;
}

static inline char *append_number(char *end, unsigned int n)
{
	if (n >= 10)
		end = append_number(end, n / 10);
	*end++ = '0' + n % 10;
	return end;
}

static inline unsigned long number(const char *s)
{
	unsigned long n = 0;

	while (s && *s >= '0' && *s <= '9')
		n = n * 10 + (*s++ - '0');
	return n;
}

// Ends the word at `s` at `divide`, and returns what comes after it.
static inline char *split(char *s, char divide)
{
	while (*s && *s != divide)
		s++;
	if (*s)
		*s++ = 0;
	return s;
}

static inline int is_octal(char c)
{
	return c >= '0' && c <= '7';
}

// Decodes, in place, bytes written as `escape` and three octal digits.
static inline void decode(char *s, const char *escape)
{
	char *to = s, *digits;

	while (*s) {
		digits = after(s, escape);
		if (digits && is_octal(digits[0]) && is_octal(digits[1]) &&
		    is_octal(digits[2])) {
			*to++ = (digits[0] - '0') << 6 |
				(digits[1] - '0') << 3 | (digits[2] - '0');
			s = digits + 3;
		} else {
			*to++ = *s++;
		}
	}
	*to = 0;
}
