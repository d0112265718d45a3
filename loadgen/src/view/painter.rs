//! Cells to a terminal: each block over the one before, with the scrollback left alone.
//!
//! ratatui's own inline viewport must ask the terminal where its cursor is: the question goes to standard output, which
//! may be a file, the answer is read from the keyboard in raw mode, which stops a process in the background (SIGTTOU,
//! termios(3)), and is awaited for up to two seconds (crossterm 0.29, `cursor/sys/unix.rs`). This one asks nothing: it
//! goes up by what it has drawn. It changes no mode and hides no cursor, so that there is nothing to restore, however the
//! process ends. The sequences are those of ECMA-48 that every terminal since the VT100 has: CUU, EL, ED, SGR.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell, CellWidth};
use ratatui::style::{Color, Modifier};

/// Where the last block is: above the cursor.
#[derive(Debug, Default)]
pub(super) struct Painter {
    rows: u16,
    /// Columns of its widest row.
    columns: usize,
}

impl Painter {
    /// What puts `block` on a terminal of `block`'s width over the one before. The cursor is left on the line below.
    pub(super) fn paint(&mut self, block: &Buffer) -> String {
        let mut text = String::new();
        let width = usize::from(block.area.width);
        // A terminal that has become too narrow for the last block has broken its rows, as it likes: it stays there.
        if self.rows > 0 && self.columns <= width {
            let _ = write!(text, "\x1b[{}A", self.rows);
        }
        self.columns = 0;
        for row in block.content.chunks(width.max(1)) {
            text.push_str("\r\x1b[2K");
            self.columns = self.columns.max(put_row(row, &mut text));
            text.push_str("\r\n");
        }
        // An earlier block may have been longer, and a typed ^C leaves its name.
        text.push_str("\x1b[J");
        self.rows = block.area.height;
        text
    }
}

/// Puts the cells of one row, without the blank ones at its end; says how many columns they take.
fn put_row(cells: &[Cell], text: &mut String) -> usize {
    let columns = cells.iter().rposition(|cell| cell.symbol() != " ").map_or(0, |last| last + 1);
    let (mut style, mut covered) = ("", 0);
    for cell in &cells[..columns] {
        // The cell behind a wide character is blank in the buffer and does not exist on the terminal.
        if covered > 0 {
            covered -= 1;
            continue;
        }
        if graphics(cell) != style {
            style = graphics(cell);
            text.push_str("\x1b[0m");
            text.push_str(style);
        }
        text.push_str(cell.symbol());
        covered = cell.cell_width().saturating_sub(1);
    }
    if !style.is_empty() {
        text.push_str("\x1b[0m");
    }
    columns
}

/// The styles that `terminal` uses.
fn graphics(cell: &Cell) -> &'static str {
    match (cell.modifier.contains(Modifier::BOLD), cell.fg == Color::Red) {
        (false, false) => "",
        (true, false) => "\x1b[1m",
        (false, true) => "\x1b[31m",
        (true, true) => "\x1b[1;31m",
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    fn block(rows: &[&str], width: u16) -> Buffer {
        let mut block = Buffer::empty(Rect::new(0, 0, width, rows.len() as u16));
        for (y, row) in rows.iter().enumerate() {
            block.set_string(0, y as u16, row, Style::new());
        }
        block
    }

    fn screen(terminal: &vt100::Parser) -> String {
        terminal.screen().contents()
    }

    #[test]
    fn a_block_takes_the_place_of_the_one_before_wherever_the_terminal_has_scrolled() {
        let mut terminal = vt100::Parser::new(6, 20, 100);
        terminal.process(b"1\r\n2\r\n3\r\n4\r\n$ loadgen\r\n");
        let mut painter = Painter::default();
        for rows in [&["one", "two", "three"][..], &["four", "five, full to the en"], &["six", "", "eight"]] {
            terminal.process(painter.paint(&block(rows, 20)).as_bytes());
            assert_eq!(terminal.screen().cursor_position().1, 0);
        }
        assert_eq!(screen(&terminal), "4\n$ loadgen\nsix\n\neight");
        terminal.process(b"^C");
        terminal.process(painter.paint(&block(&["nine"], 20)).as_bytes());
        assert_eq!(screen(&terminal), "4\n$ loadgen\nnine");
        terminal.screen_mut().set_scrollback(100);
        assert!(screen(&terminal).starts_with("1\n2\n3\n4\n$ loadgen\nnine"), "{}", screen(&terminal));
    }

    #[test]
    fn nothing_above_is_written_over_when_the_terminal_becomes_narrow() {
        let mut terminal = vt100::Parser::new(10, 20, 0);
        terminal.process(b"$ loadgen\r\n");
        let mut painter = Painter::default();
        terminal.process(painter.paint(&block(&["a row of 20 columns.", "two"], 20)).as_bytes());
        terminal.screen_mut().set_size(10, 10);
        for narrow in ["three", "four"] {
            terminal.process(painter.paint(&block(&[narrow], 10)).as_bytes());
        }
        let contents = screen(&terminal);
        assert!(contents.starts_with("$ loadgen\n") && contents.ends_with("\ntwo\nfour"), "{contents}");
    }

    #[test]
    fn wide_characters_take_two_columns_and_styles_end_with_their_row() {
        let mut alarming = block(&["\u{6c34}\u{6c34} x", "y"], 8);
        alarming.set_style(Rect::new(0, 0, 4, 1), Style::new().fg(Color::Red).add_modifier(Modifier::BOLD));
        let text = Painter::default().paint(&alarming);
        assert_eq!(text, "\r\x1b[2K\x1b[0m\x1b[1;31m\u{6c34}\u{6c34}\x1b[0m x\r\n\r\x1b[2Ky\r\n\x1b[J");
    }

    #[test]
    fn a_block_of_nothing_is_nothing() {
        assert_eq!(Painter::default().paint(&block(&[], 0)), "\x1b[J");
    }
}
