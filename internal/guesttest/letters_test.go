package guesttest

import (
	"image"
	"image/color"
	"testing"
)

// findText looks for text on a picture of character cells, without knowing the font: for a row of cells that are alike where the text's letters are, and differ where these do. Blanks are
// of one colour. It returns the place of the first one's corner.
func findText(img image.Image, cell image.Point, text string) (at image.Point, found bool) {
	letters := []rune(text)
	columns, rows := img.Bounds().Dx()/cell.X, img.Bounds().Dy()/cell.Y
	for row := range rows {
		line := make([]string, columns)
		for column := range columns {
			line[column] = glyph(img, image.Rect(0, 0, cell.X, cell.Y).Add(image.Pt(column*cell.X, row*cell.Y)))
		}
		for column := 0; column+len(letters) <= columns; column++ {
			if reads(line[column:column+len(letters)], letters) {
				return image.Pt(column*cell.X, row*cell.Y), true
			}
		}
	}
	return at, false
}

// glyph is which pixels of a cell differ from its first one.
func glyph(img image.Image, cell image.Rectangle) string {
	b := make([]byte, 0, cell.Dx()*cell.Dy())
	first := pixel(img, cell.Min.X, cell.Min.Y)
	for y := cell.Min.Y; y < cell.Max.Y; y++ {
		for x := cell.Min.X; x < cell.Max.X; x++ {
			if pixel(img, x, y) == first {
				b = append(b, '.')
			} else {
				b = append(b, '#')
			}
		}
	}
	return string(b)
}

// reads says whether cells are alike exactly where letters are.
func reads(cells []string, letters []rune) bool {
	shape, letter := map[rune]string{' ': blank(len(cells[0]))}, map[string]rune{blank(len(cells[0])): ' '}
	for i, c := range cells {
		s, known := shape[letters[i]]
		l, taken := letter[c]
		if known && s != c || taken && l != letters[i] {
			return false
		}
		shape[letters[i]], letter[c] = c, letters[i]
	}
	return true
}

func blank(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = '.'
	}
	return string(b)
}

// share is how much of a picture has a colour, of 100.
func share(img image.Image, want color.RGBA) int {
	n := 0
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			if color.RGBAModel.Convert(img.At(x, y)) == want {
				n++
			}
		}
	}
	return 100 * n / max(img.Bounds().Dx()*img.Bounds().Dy(), 1)
}

// TestFindText reads letters of a made-up font.
func TestFindText(t *testing.T) {
	draw := func(text string) image.Image {
		img := image.NewGray(image.Rect(0, 0, 8*20, 16*3))
		for i, c := range text {
			for bit := range 8 {
				if c != ' ' && c>>bit&1 != 0 {
					img.SetGray(8*(2+i)+bit, 16+5, color.Gray{255})
				}
			}
		}
		return img
	}
	cell := image.Pt(8, 16)
	for text, want := range map[string]bool{"Select a language": true, "Select a luggage??": false, "Sel ct a language": false, "Select a lenguege": false} {
		at, found := findText(draw(text), cell, "Select a language")
		if found != want || found && at != image.Pt(16, 16) {
			t.Errorf("%q: %v at %v", text, found, at)
		}
	}
}
