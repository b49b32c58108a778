// The only way by which HTML becomes part of the page. The page's policy allows no other: a browser
// that knows Trusted Types refuses text where markup is read.

/* global DOMPurify */

export function clean(html, tags, attributes) {
  return DOMPurify.sanitize(html, {
    ALLOWED_TAGS: tags, ALLOWED_ATTR: attributes, ALLOW_DATA_ATTR: false, ALLOW_ARIA_ATTR: false,
    ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i, KEEP_CONTENT: true, RETURN_DOM_FRAGMENT: true,
    ADD_URI_SAFE_ATTR: ["align", "checked", "disabled", "start", "type"],
  });
}
