namespace Librarian.Domain.Formats;

/// <summary>The rule for names of sites, drives and stores in files that travel.</summary>
internal static class FormatText
{
    /// <summary>Longest text, in characters.</summary>
    internal const int MaxLength = 256;

    /// <summary>Why a text breaks the rule, as half a sentence; null if it keeps it.</summary>
    /// <param name="key">The text's key in the file.</param>
    /// <param name="text">The text.</param>
    internal static string? Problem(string key, string text) =>
        text.Length is 0 or > MaxLength || text.Any(char.IsControl) || !PathBytes.IsUnicode(text)
            ? $"'{key}' is empty, longer than {MaxLength} characters or has control characters"
            : null;
}
