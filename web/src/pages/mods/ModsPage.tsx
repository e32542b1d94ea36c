export default function ModsPage(_: { name?: string }) {
  return <p>Soon</p>;
}
