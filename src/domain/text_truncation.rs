//! Texts are cut to a length, and say so.

/// Cuts a text to so many characters, and puts an ellipsis behind.
pub(super) fn cut(text: &mut String, most: usize) {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
}
