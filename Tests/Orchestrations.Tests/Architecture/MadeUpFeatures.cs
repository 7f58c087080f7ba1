// Two features that use each other, for the test of the checker.
namespace Librarian.Tests.Orchestrations.Architecture.MadeUp.Reading
{
    internal static class Reader
    {
        // Only the body of the method has the use.
        internal static string Read() => Writing.Writer.Name.ToString() ?? "";
    }
}

namespace Librarian.Tests.Orchestrations.Architecture.MadeUp.Writing
{
    internal static class Writer
    {
        internal static readonly object Name = new();

        // The body becomes a class of its own, because the method is asynchronous.
        internal static async Task<int> WriteAsync()
        {
            await Task.Yield();
            return Reading.Reader.Read().Length + Paper.Sheet.Size;
        }
    }
}

namespace Librarian.Tests.Orchestrations.Architecture.MadeUp.Paper
{
    internal static class Sheet
    {
        internal static int Size => 4;
    }
}
